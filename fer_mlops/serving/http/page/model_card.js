// The cards of the served models: facts, and the version's model card to unfold.

import { make } from "./dom.js";
import { rendered } from "./markdown.js";

export function modelCard(slot, model) {
  const { tags, scores, preprocessing } = model;
  const title = slot === "champion" ? "Champion" : "Challenger";
  const people = scores["test/people"] ? ` of ${scores["test/people"]} people` : "";
  const split = { random: "random: scores are too high, as people in the test set were also in training" }[tags.split];
  const card = make("div", {}, make("h3", {}, title));
  card.append(
    listed([
      ["Name", model.name],
      ["Aliases", model.aliases.join(", ")],
      ["Family", model.family],
      ["Trained", model.created ? new Date(model.created).toLocaleString() : ""],
      ["Faces", tags.data && `${tags.data} (digest ${model.data_digest})`],
      ["Split", split ?? tags.split],
      ["Tested on", scores["test/faces"] && `${scores["test/faces"]} faces${people}`],
      ["Accuracy", scored(scores, "accuracy")],
      ["Macro-F1", scored(scores, "macro_f1")],
      ["Calibration error", scores["test/ece"]?.toFixed(3)],
      ["Input", `${preprocessing.image_size} × ${preprocessing.image_size} gray pixels: ${preprocessing.frame}`],
    ]),
  );
  if (model.description) card.append(folded("Full model card", make("div", { class: "text" }, ...rendered(model.description))));
  const rest = Object.entries(tags).map(([name, value]) => [name.replaceAll("_", " "), value]);
  if (rest.length) card.append(folded("All registry tags", listed(rest)));
  return card;
}

function folded(title, content) {
  return make("details", {}, make("summary", {}, title), content);
}

function listed(facts) {
  const list = make("dl");
  for (const [name, value] of facts) if (value) list.append(make("dt", {}, name), make("dd", {}, String(value)));
  return list;
}

function scored(scores, name) {
  const value = scores[`test/${name}`];
  if (value === undefined) return null;
  const [low, high] = [scores[`test/${name}_low`], scores[`test/${name}_high`]];
  return [low, high].includes(undefined) ? value.toFixed(3) : `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
}
