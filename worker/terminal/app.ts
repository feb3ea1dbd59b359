import { addressOf, type Place, placeOf } from "./address.ts";
import { Api } from "./api.ts";
import type { Clock } from "./clock.ts";
import { h, setText, show } from "./dom.ts";
import { HomePage } from "./homePage.ts";
import { type Pace, Poller } from "./poller.ts";
import { Problem } from "./problem.ts";
import { SessionPage } from "./sessionPage.ts";
import { VpsPage } from "./vpsPage.ts";

/** One of the things that can be shown. */
export interface Page {
  readonly element: HTMLElement;
  /** Somebody looks at it, or no longer does. */
  seen(visible: boolean): void;
  /** It is left for good. */
  leave(): void;
}

const clock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** The page around the pages: where one is, whether one is signed in, what cannot be reached. */
export class App {
  readonly clock = clock;
  readonly api = new Api(
    (path, init) => fetch(path, init),
    (signedIn) => this.entered(signedIn),
  );

  readonly #trouble = h("p", {
    class: "alert",
    role: "status",
    "data-testid": "trouble",
    hidden: true,
  });
  readonly #entrance = entrance();
  readonly #content = h("div", { class: "content" });
  #page: Page | null = null;

  constructor(
    private readonly main: HTMLElement,
    private readonly path: HTMLElement,
  ) {}

  start(): void {
    this.main.replaceChildren(this.#trouble, this.#entrance, this.#content);
    window.addEventListener("popstate", () => this.#open(true));
    document.addEventListener("visibilitychange", () => this.#page?.seen(!document.hidden));
    document.addEventListener("click", (event) => this.#follow(event));
    this.#open(false);
  }

  /** Goes somewhere else on this page. */
  go(place: Place, replace = false): void {
    const address = addressOf(place);
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    this.#open(true);
  }

  /** Says where one is: the places above, and the name of this one. */
  name(title: string, above: Array<{ text: string; place: Place }>): void {
    document.title = `${title} · Counterspell`;
    const links = above.map(({ text, place }) => h("a", { href: addressOf(place) }, text));
    const here = h("span", { "aria-current": "page" }, title);
    const steps = [...links, here].map((step) => h("li", {}, step));
    const said = steps.map(({ textContent }) => textContent).join("/");
    if (this.path.dataset.said === said) return;
    this.path.dataset.said = said;
    this.path.replaceChildren(h("ol", {}, ...steps));
  }

  /** Something was answered for somebody who is signed in, or refused to somebody who is not. */
  entered(signedIn: boolean): void {
    show(this.#entrance, !signedIn);
    show(this.#content, signedIn);
  }

  /** Looks again and again, and says when that fails. */
  poll(look: () => Promise<Pace>): Poller {
    const poller = new Poller(async () => {
      try {
        const pace = await look();
        this.#tell("");
        return pace;
      } catch (error) {
        if (error instanceof Problem) this.#tell(error.status === 401 ? "" : error.message);
        throw error;
      }
    }, clock);
    poller.hide(document.hidden);
    poller.now();
    return poller;
  }

  #open(moved: boolean): void {
    this.#page?.leave();
    this.#tell("");
    this.#page = this.#make(placeOf(location.search));
    this.#content.replaceChildren(this.#page.element);
    if (moved) this.#content.querySelector("h1")?.focus();
  }

  #make(place: Place): Page {
    switch (place.kind) {
      case "home":
        return new HomePage(this);
      case "vps":
        return new VpsPage(this, place.vps);
      case "session":
        return new SessionPage(this, place.vps, place.session);
    }
  }

  #tell(text: string): void {
    setText(this.#trouble, text);
    show(this.#trouble, text !== "");
  }

  /** Links within the page need no loading of it. */
  #follow(event: MouseEvent): void {
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey);
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!plain || event.defaultPrevented || link === null || link.target !== "") return;
    if (link.origin !== location.origin || link.pathname !== location.pathname || link.hash !== "")
      return;
    event.preventDefault();
    this.go(placeOf(link.search));
  }
}

/** What somebody sees who is not signed in. */
function entrance(): HTMLElement {
  const attributes = { class: "card", "data-testid": "signed-out", hidden: true };
  const link = h("a", { class: "button", href: "/auth/session", target: "_blank" }, "Sign in");
  return h(
    "section",
    attributes,
    h("h1", { tabindex: "-1" }, "Sign in"),
    h("p", { role: "status" }, "Your browser has no session here, or it has ended."),
    h(
      "p",
      {},
      "Signing in opens another tab. When it says that you are signed in, or shows your " +
        "DigitalOcean account, come back to this tab: it goes on by itself.",
    ),
    h("p", {}, link),
  );
}
