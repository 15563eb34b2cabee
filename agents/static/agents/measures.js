/** Durations, sizes and costs in words. Other pages have the same words from agents/pages/measures.py. */

export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Of a run in the folded state; empty until it has both started and ended. */
export function runDuration(run) {
  if (run.started_at === null || run.finished_at === null) return "";
  return duration(Math.max(0, Date.parse(run.finished_at) - Date.parse(run.started_at)));
}

export function size(count) {
  if (count < 1000) return `${count} B`;
  let value = count;
  let unit;
  for (unit of ["KB", "MB", "GB", "TB"]) {
    value /= 1000;
    if (value < 999.5) break;
  }
  return value < 10 ? `${value.toFixed(1)} ${unit}` : `${value.toFixed(0)} ${unit}`;
}

export function usage(total) {
  const tokens = total.input_tokens + total.output_tokens;
  if (!tokens) return "";
  const words = `${tokens.toLocaleString("en")} tokens`;
  return total.cost_usd === null ? words : `${words} · ${cost(total.cost_usd)}`;
}

function cost(usd) {
  return usd >= 1 || usd === 0 ? `$${usd.toFixed(2)}` : `$${usd.toFixed(4)}`;
}

const WHOSE = { run: "This run's", agent: "This agent's", "user-day": "Today's" };

export function budget({ scope, kind, used, limit }) {
  const whose = WHOSE[scope];
  const said = amounts(kind, used, limit);
  if (used >= limit) return `${whose} budget is used up: ${said}.`;
  return `${Math.floor((used / limit) * 100)} % of ${whose[0].toLowerCase()}${whose.slice(1)} budget is used: ${said}.`;
}

function amounts(kind, used, limit) {
  if (kind === "cost_usd") return `${cost(used)} of ${cost(limit)}`;
  if (kind === "wall_s") return `${duration(used * 1000)} of ${duration(limit * 1000)}`;
  const whole = (count) => Math.floor(count).toLocaleString("en");
  return `${whole(used)} of ${whole(limit)} ${kind.replaceAll("_", " ")}`;
}

/** Of something that goes on, as it ticks. */
export function elapsed(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}
