/**
 * Loads the page again when one of its modules could not be fetched: a connection broke, the site was restarting, or the
 * browser's machine got a new network interface, as it does whenever Docker starts a container: Chromium then drops
 * what waits for a connection (ERR_NETWORK_CHANGED), and asks for no module twice.
 * Without them the page reads, but is not live. When it has been loaded MOST times in vain, it says so.
 * A classic script, so that it listens before modules are fetched.
 */
{
  const KEY = "agentsite-reloads";
  const MOST = 3;
  const WAIT_MS = 500;
  const isModule = ({ target }) => target instanceof HTMLScriptElement && target.type === "module";

  const say = () => {
    const note = document.getElementById("not-live");
    note.hidden = false;
    note.querySelector("button").onclick = () => {
      sessionStorage.removeItem(KEY);
      location.reload();
    };
  };

  const reload = (event) => {
    if (!isModule(event)) return;
    const reloads = Number(sessionStorage.getItem(KEY));
    if (reloads >= MOST) return say();
    sessionStorage.setItem(KEY, String(reloads + 1));
    setTimeout(() => location.reload(), WAIT_MS * 2 ** reloads);
  };
  document.addEventListener("error", reload, true);
  document.addEventListener("load", (event) => isModule(event) && sessionStorage.removeItem(KEY), true);
}
