/** Times of the reader. */
import { localTimes } from "./times.js";

localTimes(document);
