// The simulator's control API, as the page uses it.

/** A refused or failed call; its message is fit for the person. */
export class ApiError extends Error {}

export const getWorld = () => call("GET", "state");
export const postMessage = (body) => call("POST", "messages", body);
export const edit = (body) => call("POST", "edit", body);
export const remove = (body) => call("POST", "delete", body);
export const click = (body) => call("POST", "click", body);
export const command = (body) => call("POST", "command", body);
export const stop = (body) => call("POST", "stop", body);

/** The messages of a channel, or of one of its threads. */
export async function getMessages(channel, thread) {
  const query = new URLSearchParams(thread ? { channel, thread_ts: thread } : { channel });
  return (await call("GET", `messages?${query}`)).messages;
}

/** Brings files along as `user`; their ids, for a message. */
export function addFiles(user, files) {
  const add = async (file) => {
    const query = new URLSearchParams({ user, name: file.name, ...(file.type && { mimetype: file.type }) });
    return (await request(`files?${query}`, { method: "POST", body: file })).id;
  };
  return Promise.all(files.map(add));
}

function call(method, path, body) {
  const headers = body && { "content-type": "application/json" };
  return request(path, { method, headers, body: body && JSON.stringify(body) });
}

async function request(path, init) {
  let response;
  try {
    response = await fetch(`/sim/${path}`, init);
  } catch {
    throw new ApiError("The simulator does not answer. Is it still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok || answer.ok === false) {
    throw new ApiError(`The simulator refused this: ${answer.error ?? `HTTP status ${response.status}`}.`);
  }
  return answer;
}
