/** The shared worker that holds the browser's one connection to the feed, for as long as a page has joined. See feed.js. */
import { FeedConnection } from "./feed.js";

const ports = new Set();
const tell = (...message) => ports.forEach((port) => port.postMessage(message));
const connection = new FeedConnection({
  onOpen: () => tell("onOpen"),
  onChange: (agentId) => tell("onChange", agentId),
  onClosed: () => tell("onClosed"),
});

addEventListener("connect", ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = () => leave(port); // "leave" is all that a page ever says
  port.onclose = () => leave(port); // the page crashed or was discarded; not in all browsers, and then its port stays
  if (connection.isOpen) port.postMessage(["onOpen"]);
  else if (ports.size === 1) connection.open();
});

function leave(port) {
  ports.delete(port);
  if (!ports.size) connection.close();
}
