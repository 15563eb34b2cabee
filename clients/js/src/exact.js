/**
 * The log's JSON, with whole numbers as they were written: of 1234567890123456789 a double would make another number, and
 * somebody approve what nobody asked. Browsers without JSON.rawJSON round.
 */
const LONG = /[[:,]\s*-?\d{16}/;

export function parse(text) {
  return JSON.rawJSON && LONG.test(text) ? JSON.parse(text, asWritten) : JSON.parse(text);
}

function asWritten(name, value, { source }) {
  const isRounded = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return isRounded ? JSON.rawJSON(source) : value;
}
