// Loaded before an agent that pretends to think: makes its pauses twenty times shorter.
const wait = globalThis.setTimeout;
globalThis.setTimeout = (then, ms, ...rest) => wait(then, ms / 20, ...rest);
