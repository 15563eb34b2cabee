/** The server writes times in UTC; readers have a time of their own. The exact one shows on hover. */

const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function localTimes(root) {
  for (const node of root.querySelectorAll("time[datetime]")) {
    const at = new Date(node.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    node.textContent = SHORT.format(at);
    node.title = node.dateTime;
  }
}

export function localTime(iso) {
  return SHORT.format(new Date(iso));
}
