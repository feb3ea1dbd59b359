/** What the page shows: everything, one VPS, or one of its sessions. */
export type Place =
  | { kind: "home" }
  | { kind: "vps"; vps: string }
  | { kind: "session"; vps: string; session: string };

const BASE = "/terminal/";

/** The place that an address's query names. */
export function placeOf(search: string): Place {
  const query = new URLSearchParams(search);
  const [vps, session] = [query.get("vps"), query.get("session")];
  if (!vps) return { kind: "home" };
  return session ? { kind: "session", vps, session } : { kind: "vps", vps };
}

/** The address of a place; it can be reloaded and passed on. */
export function addressOf(place: Place): string {
  if (place.kind === "home") return BASE;
  const { kind: _, ...query } = place;
  return `${BASE}?${new URLSearchParams(query)}`;
}

/** The address of a session's socket, of the page's own host. */
export function socketAddress(
  page: { protocol: string; host: string },
  vps: string,
  session: string,
): string {
  const scheme = page.protocol === "https:" ? "wss" : "ws";
  const query = new URLSearchParams({ session_id: session });
  return `${scheme}://${page.host}/vps/${encodeURIComponent(vps)}/terminal?${query}`;
}
