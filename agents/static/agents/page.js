/**
 * The agent page: takes the state that the server put into it, follows the stream from its cursor, and draws what the fold
 * says. Everything under #agent is a function of the state, but for what the reader opened, typed or scrolled to.
 */
import { Actions } from "./actions.js";
import { Activity } from "./activity.js";
import { Api } from "./api.js";
import { Conversation } from "./conversation.js";
import { Earlier } from "./earlier.js";
import { setAttribute, setText } from "./dom.js";
import { parse } from "./client/exact.js";
import { Files } from "./files.js";
import { Focus } from "./focus.js";
import { Follow } from "./follow.js";
import { Header } from "./header.js";
import { LiveOutputs } from "./live-output.js";
import { News } from "./news.js";
import { WholeCalls } from "./omitted.js";
import { Output } from "./output.js";
import { Past } from "./past.js";
import { newPictures } from "./pictures.js";
import { Prompt } from "./prompt.js";
import { Queue } from "./queue.js";
import { Runs } from "./runs.js";
import { Search } from "./search.js";
import { Side } from "./side.js";
import { FOLD, step } from "./client/fold.js";
import { AgentStream } from "./client/stream.js";
import { Toasts } from "./toast.js";
import { Windowing } from "./windowing.js";

/** How long silence is believed: with a run active the next event is never far. */
const PATIENCE_ACTIVE_MS = 45_000;
const PATIENCE_IDLE_MS = 300_000;

const $ = (id) => document.getElementById(id);

class AgentPage {
  constructor(root) {
    this.root = root;
    const { agentId, cursor } = root.dataset;
    this.agentUrl = `/api/agents/${agentId}`;
    const { agentUrl } = this;
    const filesUrl = `${agentUrl}/files/`;
    this.api = new Api(root.querySelector("[name=csrfmiddlewaretoken]").value);
    const { api } = this;
    this.state = parse($("state").textContent);
    this.follow = new Follow(root.querySelector(".agent-talk"), $("latest"));
    this.focus = new Focus(root, $("input"));
    this.toasts = new Toasts(root);
    const advice = JSON.parse($("advice").textContent);
    this.outputs = new LiveOutputs();
    const calls = new WholeCalls({ agentUrl, api });
    this.conversation = new Conversation($("conversation"), {
      agentUrl, filesUrl, viewerUrl: filesUrl.replace(/^\/api/, ""), api, advice, calls, outputs: this.outputs,
    });
    this.past = new Past({ agentUrl, api });
    const view = { past: this.past, follow: this.follow, state: () => this.state };
    this.windowing = new Windowing({ ...view, root: $("conversation"), draw: () => this.#drawConversation() });
    this.earlier = new Earlier({ ...view, place: $("earlier"), draw: () => this.windowing.keepPlace(() => this.#render()) });
    this.actions = new Actions({
      place: $("actions"), agentUrl, agentId, isArchived: "archived" in root.dataset, title: () => $("title").textContent, api,
      toasts: this.toasts,
    });
    this.search = new Search({ button: $("search-button"), panel: $("search"), agentUrl, api, show: (n) => this.#showPart(n) });
    this.header = new Header({
      title: $("title"), status: $("status"), elapsed: $("elapsed"), usage: $("usage"), connection: $("connection"),
      now: $("reconnect"), fallbackTitle: root.dataset.fallbackTitle, onNow: () => this.stream.reopen(),
    });
    this.header.hear(root.dataset.now);
    this.news = new News({ region: $("news"), button: $("notify"), agentId });
    this.activity = new Activity({ note: $("activity"), agentUrl, api });
    this.files = new Files({
      list: $("file-list"), counts: document.querySelectorAll(".file-count"), note: $("files-note"), upload: $("upload"), input: $("upload-input"), uploads: $("uploads"),
      filesUrl, api, toasts: this.toasts,
    });
    this.runs = new Runs({ list: $("run-list"), count: $("run-count"), timeline: $("latest-timeline"), api });
    const first = $("side") && JSON.parse($("side").textContent);
    this.side = new Side({ url: `/agents/${agentId}/side/`, first, api, onChange: () => this.#schedule() });
    this.output = new Output({
      panel: $("program-output"), text: $("program-output-text"), note: $("program-output-note"), agentUrl, api,
    });
    this.prompt = new Prompt({
      form: $("prompt"), input: $("input"), send: $("send"), hint: $("prompt-hint"), error: $("prompt-error"),
      strategy: $("strategy"), stopForm: $("stop"), stopButton: $("stop-button"), agentUrl, api, onSent: () => this.follow.jump(),
    });
    this.queue = new Queue({ list: $("queue"), error: (words) => this.prompt.say(words), api });
    this.stream = new AgentStream({
      agentUrl,
      cursor,
      seq: Number(cursor.split("-")[1]),
      onEvent: (event) => this.#apply(event),
      onSnapshot: (state) => this.#replace(state),
      onConnection: (name, retryAt) => this.#showConnection(name, retryAt),
      patienceMs: () => (this.state.active_run === null ? PATIENCE_IDLE_MS : PATIENCE_ACTIVE_MS),
    });
    this.feed = null;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.#turned());
    this.#render();
    const place = this.windowing.lastPlace;
    if (place) this.#showPart(place.n, place.top).catch(() => {}); // what can't be had now is above, behind its button
    this.stream.start();
    if (document.hidden) this.#joinFeed();
  }

  #turned() {
    if (document.hidden) return this.#joinFeed();
    this.feed?.leave();
    this.#render();
  }

  /** A page that is never hidden fetches nothing of it. Where it can't be fetched, the stream's own looks have to do. */
  async #joinFeed() {
    const { Feed } = await import("./feed.js").catch(() => ({}));
    if (!Feed || !document.hidden) return;
    const catchUp = () => this.stream.catchUp();
    const { agentId } = this.root.dataset;
    this.feed ??= new Feed({ onOpen: catchUp, onChange: (id) => id === agentId && catchUp(), onClosed: () => {} });
    this.feed.join();
  }

  #apply(event) {
    this.outputs.hear(event, this.state);
    const [state, page] = step(this.state, event);
    this.state = state;
    if (page) this.past.keep(page, this.follow.following);
    if (event.type === "log") this.output.append(event);
    if (event.type === "status") this.activity.hear(event);
    this.header.hear(event.timestamp);
    this.#schedule();
  }

  #replace(state) {
    // A server that was updated folds by other rules, and so do the modules that it serves now.
    if (state.fold !== FOLD) return location.reload();
    this.state = state;
    this.output.restart();
    this.outputs.clear();
    this.past.rejoin(() => this.state, this.follow.following, this.windowing.first).then(() => this.#schedule());
    this.#schedule();
  }

  /** One drawing a frame, however many events came. A hidden page has no frames and draws only its tab, of which it tells
   * the last state alone: after a sleep nobody wants to hear of questions that were answered long ago. */
  #schedule() {
    if (document.hidden && !this.tabScheduled) {
      this.tabScheduled = true;
      queueMicrotask(() => {
        this.tabScheduled = false;
        this.header.renderTab(this.state);
        this.news.render(this.state);
      });
    }
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.#render();
    });
  }

  #render() {
    const { state } = this;
    this.header.render(state);
    this.news.render(state);
    this.activity.render(state);
    this.#renderConversation(state);
    this.side.look(state, this.stream.seq);
    this.files.render(state, this.side.data);
    this.runs.render(state, this.side.data);
    this.prompt.render(state);
    this.queue.render(state);
    this.#checkIsolation();
    // For tests and for the curious: which event the page shows.
    setAttribute(this.root, "data-seq", String(this.stream.seq));
    this.follow.settle();
    this.windowing.look();
  }

  #showConnection(name, retryAt) {
    this.header.showConnection(name, retryAt);
    if (name === "live") this.#schedule();
    if (name === "logged-out") location.assign(`${this.root.dataset.loginUrl}?next=${encodeURIComponent(location.pathname)}`);
  }

  #renderConversation(state) {
    this.past.settle(this.follow.following);
    if (this.past.isFilling) return; // what the reader sees would go, and come back
    const isShown = this.#drawConversation();
    this.earlier.render(state);
    $("nothing").hidden = isShown || state.queue.length > 0 || state.earlier !== null;
  }

  #drawConversation() {
    const shown = this.windowing.range();
    if (this.side.data !== this.picturesOf) {
      this.picturesOf = this.side.data;
      this.pictures = { runId: this.side.data.run?.id, paths: newPictures(this.side.data, shown.units) };
    }
    return this.conversation.render(this.state, shown, this.pictures);
  }

  /** Loads the conversation as far back as that part is, and brings it into view. */
  async #showPart(n, top = null) {
    const { past, windowing, follow } = this;
    follow.leave();
    const isHere = () => windowing.range().units[0]?.n <= n;
    while (!isHere() && past.next(this.state) !== null) await past.more(() => this.state);
    this.#render();
    return windowing.reveal(n, top);
  }

  /** Which engine runs a run is not in the log's state: asked once a run, when it has started. */
  async #checkIsolation() {
    const run = this.state.active_run;
    if (run === null || run === this.isolationOf) return;
    this.isolationOf = run;
    const { isolation } = await this.api.get(`/api/runs/${run}`).catch(() => ({}));
    if (!isolation) return;
    const badge = $("isolation");
    badge.hidden = false;
    badge.classList.toggle("warning", isolation === "none");
    setText(badge, `isolation: ${isolation}`);
  }
}

new AgentPage($("agent")).start();
