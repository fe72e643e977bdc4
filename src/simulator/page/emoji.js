// Emoji by the names that Slack gives them; those that bots use most. Pure.

const EMOJI = {
  "+1": "👍", "-1": "👎", "100": "💯", arrow_right: "➡️", arrows_counterclockwise: "🔄", bell: "🔔", books: "📚", boom: "💥", bug: "🐛",
  bulb: "💡", clap: "👏", construction: "🚧", eyes: "👀", exclamation: "❗", file_folder: "📁", fire: "🔥", gear: "⚙️", grin: "😁",
  hammer: "🔨", heart: "❤️", heavy_check_mark: "✔️", hourglass: "⌛", hourglass_flowing_sand: "⏳", information_source: "ℹ️", joy: "😂",
  key: "🔑", large_green_circle: "🟢", lock: "🔒", mag: "🔍", memo: "📝", no_entry: "⛔", octagonal_sign: "🛑", ok_hand: "👌",
  package: "📦", point_right: "👉", pray: "🙏", question: "❓", raised_hands: "🙌", red_circle: "🔴", robot_face: "🤖", rocket: "🚀",
  slightly_smiling_face: "🙂", smile: "😄", sob: "😭", sparkles: "✨", speech_balloon: "💬", stopwatch: "⏱️", tada: "🎉",
  thinking_face: "🤔", thumbsdown: "👎", thumbsup: "👍", warning: "⚠️", wave: "👋", white_check_mark: "✅", wrench: "🔧", x: "❌", zap: "⚡",
};

/** The emoji of this name, or its name between colons when this page does not know it. */
export function emoji(name) {
  return Object.hasOwn(EMOJI, name) ? EMOJI[name] : `:${name}:`;
}

/** Text with the emoji that it names. */
export function withEmoji(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (_, name) => emoji(name));
}
