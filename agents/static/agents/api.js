/** The site's HTTP API, as the logged-in reader. */
import { parse } from "./client/exact.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  /** `formToken`: the token in the page's forms, for sites that hide the cookie from scripts. */
  constructor(formToken) {
    this.formToken = formToken;
  }

  /** From the cookie, since a login in another tab changes it and makes the token in this page's forms invalid. */
  get csrfToken() {
    return /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? this.formToken;
  }

  get(path) {
    return this.#send("GET", path);
  }

  post(path, body = {}, headers = {}) {
    return this.#send("POST", path, JSON.stringify(body), { "Content-Type": "application/json", ...headers });
  }

  patch(path, body) {
    return this.#send("PATCH", path, JSON.stringify(body), { "Content-Type": "application/json" });
  }

  delete(path) {
    return this.#send("DELETE", path);
  }

  async #send(method, path, body, headers = {}) {
    let response;
    try {
      response = await fetch(path, {
        method,
        body,
        headers: { Accept: "application/json", "X-CSRFToken": this.csrfToken, ...headers },
        cache: "no-store",
      });
    } catch {
      throw new ApiError(0, "The server could not be reached.");
    }
    const text = await response.text();
    if (!response.ok) throw new ApiError(response.status, problem(response.status, text));
    return text ? parse(text) : null;
  }
}

/** What an error answer says: {"error": {"code", "message"}}, or the status where something else answered. */
export function problem(status, text) {
  if (status === 401) return "You are logged out. Log in again in another tab, then send this once more.";
  try {
    const { message } = JSON.parse(text).error;
    if (message) return message;
  } catch {
    // not ours: a proxy's page, or nothing
  }
  return `The server answered ${status}.`;
}

/** For Idempotency-Key. Not crypto.randomUUID, which plain HTTP on a local network does not have. */
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
