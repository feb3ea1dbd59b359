import { h } from "./dom.ts";
import { field, form, input } from "./forms.ts";
import type { Vps } from "./model.ts";
import { Problem } from "./problem.ts";

/** Asks for a VPS' name before it is deleted. */
export function confirmDelete(vps: Vps, remove: () => Promise<void>): void {
  const name = input({ required: true });
  const confirmed = async () => {
    if (name.value.trim() !== vps.name) throw wrongName(vps.name);
    await remove();
    dialog.close();
  };
  const asked = field("name", `Type ${vps.name} to confirm`, name);
  const { element, button } = form({
    testId: "delete-form",
    button: "Delete VPS",
    fields: [asked],
    send: confirmed,
  });
  button.classList.add("danger");
  const cancel = h("button", { type: "button", class: "plain" }, "Cancel");
  cancel.addEventListener("click", () => dialog.close());
  element.append(" ", cancel);
  const dialog = h(
    "dialog",
    { "aria-labelledby": "delete-title", "data-testid": "delete-dialog" },
    h("h2", { id: "delete-title" }, `Delete ${vps.name}?`),
    h("p", {}, "The droplet, all that is on it, and its sessions are lost. This cannot be undone."),
    element,
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  name.focus();
}

function wrongName(name: string): Problem {
  const rule = `is not its name, which is ${name}`;
  return new Problem(422, "invalid-request", "Not deleted", "", [{ field: "name", rule }]);
}
