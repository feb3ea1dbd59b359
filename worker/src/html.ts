/** Text that is markup already. */
export class Markup {
  constructor(readonly text: string) {}
}

/** A template whose values are escaped unless they are markup. */
export function html(parts: TemplateStringsArray, ...values: (string | Markup | null)[]): Markup {
  const filled = values.map((value) => {
    if (value === null) return "";
    return value instanceof Markup ? value.text : escapeHtml(value);
  });
  return new Markup(parts.map((part, index) => part + (filled[index] ?? "")).join(""));
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

const STYLE = `:root{color-scheme:light dark;--ink:#1c1b22;--paper:#fbfaf8;--soft:#5d5a66;
--line:#8a8694;--accent:#5a31c4;--on:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#efedf4;--paper:#17161c;--soft:#b3afbe;
--line:#7d7988;--accent:#c0a9ff;--on:#17161c}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;
background:var(--paper);color:var(--ink);font:1.0625rem/1.6 system-ui,sans-serif}
main{width:100%;max-width:30rem}
.brand{margin:0 0 2rem;color:var(--soft);font-weight:600;letter-spacing:.02em}
h1{margin:0 0 .75rem;font-size:1.75rem;line-height:1.2}
p{margin:0 0 1rem}a{color:var(--accent)}
form{margin:1.5rem 0;display:grid;gap:.35rem}label{font-weight:600}
input{font:inherit;color:inherit;background:transparent;border:1px solid var(--line);
border-radius:.4rem;padding:.55rem .7rem;margin-bottom:.6rem;width:100%}
button,.button{font:inherit;font-weight:600;display:inline-block;justify-self:start;border:0;
border-radius:.4rem;padding:.6rem 1.1rem;background:var(--accent);color:var(--on);
text-decoration:none;cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.alert{border-left:4px solid #c2352b;padding-left:.8rem}
.bar{height:4px;border-radius:2px;overflow:hidden;background:var(--line);margin:1.5rem 0}
.bar::before{content:"";display:block;height:100%;width:40%;background:var(--accent);
animation:slide 1.4s ease-in-out infinite alternate}
@keyframes slide{from{transform:translateX(0)}to{transform:translateX(150%)}}
@media (prefers-reduced-motion:reduce){.bar::before{animation:none;width:100%}}`;

/** A whole page: no script, nothing from elsewhere; `retry` is in seconds. */
export function page(title: string, body: Markup, nonce: string, retry: number | null): string {
  const refresh =
    retry === null ? null : html`<meta http-equiv="refresh" content="${String(retry)}">`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${refresh}
<title>${title} · Counterspell</title>
<style nonce="${nonce}">${new Markup(STYLE)}</style>
</head>
<body>
<main>
<p class="brand">Counterspell</p>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`.text;
}
