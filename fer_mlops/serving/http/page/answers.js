// Predictions as cards, and as sentences for screen readers.

import { make, percent } from "./dom.js";

const NEVER_SURE = "this model is never sure: its validation faces were too few, or too often wrong, to set a threshold";

function called(model) {
  const slot = model.slot === "champion" ? "Champion" : "Challenger";
  return model.version ? `${slot}, version ${model.version}` : slot;
}

function verdict(answer) {
  if (answer.is_sure) return answer.emotion;
  return `${answer.emotion}, ${answer.threshold === null ? "unverified" : "not sure"}`;
}

function reasonFor(answer) {
  if (answer.is_sure && !answer.threshold) return "this model has no threshold for being sure";
  if (answer.is_sure) return `at least ${percent(answer.threshold)}, the threshold for a sure prediction`;
  if (answer.threshold === null) return NEVER_SURE;
  return `below ${percent(answer.threshold)}, the threshold for a sure prediction`;
}

/** Returns the heading of a prediction: the model if two predict, and the face if there are several. */
function titled(answer, isOneOfTwo, face) {
  return [isOneOfTwo ? called(answer.model) : "", face].filter(Boolean).join(" · ");
}

export function sentence(answer, isOneOfTwo, face) {
  const title = titled(answer, isOneOfTwo, face);
  return `${title && `${title}: `}${verdict(answer)}, ${percent(answer.confidence)}; ${reasonFor(answer)}.`;
}

export function shown(answer, isOneOfTwo, face) {
  const rows = Object.entries(answer.probabilities).map(([emotion, share]) => {
    const bar = make("i", { "aria-hidden": "true" }, make("b", { "data-share": share }));
    if (answer.threshold) bar.append(make("u", { "data-at": answer.threshold }));
    const top = emotion === answer.emotion ? { class: "top-one" } : {};
    const number = make("span", { class: "num" }, percent(share));
    return make("li", top, make("span", {}, emotion), bar, number);
  });
  const card = make(
    "article",
    { class: answer.is_sure ? "card result" : "card result unsure" },
    make("p", { class: "over" }, titled(answer, isOneOfTwo, face) || "Prediction"),
    make("h3", { class: "verdict" }, verdict(answer)),
    make("p", { class: "reason" }, make("span", { class: "badge" }, percent(answer.confidence)), make("span", {}, reasonFor(answer))),
    make("ul", { class: "bars", "aria-label": "Probability of each emotion" }, ...rows),
  );
  if (answer.threshold) {
    const scale = `sure from ${percent(answer.threshold)}; probabilities are calibrated on validation faces`;
    card.append(make("p", { class: "scale" }, make("i", { "aria-hidden": "true" }), scale));
  }
  if (answer.explanation) card.append(explained(answer));
  return card;
}

function explained(answer) {
  const { method, overlay } = answer.explanation;
  const name = method === "gradcam" ? "Grad-CAM" : "Occlusion";
  return make(
    "figure",
    {},
    make("img", { src: overlay, alt: `Heat map over the face: parts that support ${answer.emotion}` }),
    make(
      "figcaption",
      {},
      make("b", {}, "Heat map"),
      make("br"),
      `Bright parts support ${answer.emotion} most (${name}, on the gray face that the model sees).`,
    ),
  );
}

/** Sets the widths of the bars by script, since the page's security policy forbids inline styles. */
export function grow(root) {
  for (const bar of root.querySelectorAll("[data-share]")) bar.style.width = `${100 * bar.dataset.share}%`;
  for (const mark of root.querySelectorAll("[data-at]")) mark.style.left = `${100 * mark.dataset.at}%`;
}
