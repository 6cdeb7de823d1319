// The page: sends a picture and shows its predictions. Pictures are kept only in this tab.

const $ = (id) => document.getElementById(id);
const POINTS = {
  natural: "Assumes that emotions are as frequent as in the training pictures; has the highest accuracy.",
  default: "Lies between the two: the best mean score over all seven emotions, with little loss of accuracy.",
  balanced: "Favours rare emotions such as fear and disgust; has a lower accuracy.",
};
const LIMITS = { max_bytes: 10 * 2 ** 20, max_pixels: 16e6 };
const SENT_SIDE = 1024; // longer side in pixels, for pictures above the limits

let file = null; // the chosen picture
let bitmap = null; // the same picture, upright, if this browser can show it
let frame = { zoom: 1, x: 0.5, y: 0.5 }; // zoom; centre as a share of the picture
let asking = null;
let later = 0;
let models = {};

// ---- small helpers

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function percent(share) {
  if (share > 0 && share < 0.005) return "< 1 %";
  if (share < 1 && share > 0.995) return "> 99 %";
  return `${Math.round(100 * share)} %`;
}

function complain(sentence) {
  $("alert").hidden = !sentence;
  $("alert").textContent = sentence;
}

// ---- the picture and its frame

async function take(given) {
  complain("");
  file = given;
  bitmap = await createImageBitmap(given).catch(() => null);
  frame = { zoom: 1, x: 0.5, y: 0.5 };
  $("zoom").value = 1;
  $("empty").hidden = true;
  $("canvas").hidden = $("frame").hidden = !bitmap;
  $("no-preview").hidden = !!bitmap;
  $("drop").classList.add("full");
  draw();
  await ask();
  if (matchMedia("(max-width: 54rem)").matches) $("results").scrollIntoView({ block: "nearest" });
}

/** Returns the frame in pixels of the picture; at zoom 1 it is the whole picture. */
function framed() {
  const { width, height } = bitmap;
  if (frame.zoom <= 1) return { left: 0, top: 0, wide: width, high: height };
  const side = Math.min(width, height) / frame.zoom;
  const hold = (centre, length) => Math.min(Math.max(centre * length - side / 2, 0), length - side);
  return { left: hold(frame.x, width), top: hold(frame.y, height), wide: side, high: side };
}

function draw() {
  if (!bitmap) return;
  const canvas = $("canvas");
  const box = $("drop").getBoundingClientRect();
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, box.width * dense);
  canvas.height = Math.max(1, box.height * dense);
  const pen = canvas.getContext("2d");
  const scale = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const left = (canvas.width - bitmap.width * scale) / 2;
  const top = (canvas.height - bitmap.height * scale) / 2;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, left, top, bitmap.width * scale, bitmap.height * scale);
  canvas.scaleOfPicture = scale / dense;
  if (frame.zoom <= 1) return;
  const cut = framed();
  const hole = [left + cut.left * scale, top + cut.top * scale, cut.wide * scale, cut.high * scale];
  const shade = new Path2D();
  shade.rect(0, 0, canvas.width, canvas.height);
  shade.rect(...hole);
  pen.fillStyle = "rgb(8 10 16 / .62)";
  pen.fill(shade, "evenodd");
  pen.strokeStyle = "#fff";
  pen.lineWidth = 2.5 * dense;
  pen.strokeRect(...hole);
}

function moveBy(right, down) {
  if (!bitmap || frame.zoom <= 1) return;
  const cut = framed(); // start from the drawn frame, which stops at the edges
  frame.x = (cut.left + cut.wide / 2 + right) / bitmap.width;
  frame.y = (cut.top + cut.high / 2 + down) / bitmap.height;
  changed();
}

function changed() {
  draw();
  clearTimeout(later);
  later = setTimeout(ask, 250);
}

/** Returns the upload: the file itself, or a PNG if it is framed or too large. */
async function sent() {
  const isWhole = frame.zoom <= 1;
  const fits = file.size <= LIMITS.max_bytes;
  if (!bitmap || (isWhole && fits && bitmap.width * bitmap.height <= LIMITS.max_pixels)) return file;
  const cut = framed();
  const scale = Math.min(1, SENT_SIDE / Math.max(cut.wide, cut.high));
  const canvas = make("canvas", {
    width: Math.max(1, Math.round(cut.wide * scale)),
    height: Math.max(1, Math.round(cut.high * scale)),
  });
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, cut.left, cut.top, cut.wide, cut.high, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// ---- prediction requests

async function ask() {
  if (!file) return;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const point = $("choices").elements.point.value;
  const slots = $("compare").checked && models.challenger ? ["champion", "challenger"] : ["champion"];
  $("results").setAttribute("aria-busy", "true");
  try {
    const body = await sent();
    const answers = await Promise.all(
      slots.map((slot) => askOne(slot, point, $("explain").checked, body, signal)),
    );
    if (signal.aborted) return;
    complain("");
    $("results").replaceChildren(...answers.map((answer) => shown(answer, slots.length > 1)));
    requestAnimationFrame(() => requestAnimationFrame(() => grow($("results"))));
    $("said").textContent = answers.map((answer) => sentence(answer, slots.length > 1)).join(" ");
    if (answers.some((answer) => answer.model.name !== models[answer.model.slot]?.name)) await showModels();
  } catch (error) {
    if (error.name === "AbortError") return;
    $("results").replaceChildren();
    complain(error instanceof TypeError ? "The service does not respond; is it still running?" : error.message);
  } finally {
    if (!signal.aborted) $("results").setAttribute("aria-busy", "false");
  }
}

async function askOne(slot, point, explains, body, signal) {
  const query = new URLSearchParams({ model: slot, point, explain: explains });
  const type = body.type.startsWith("image/") ? body.type : "application/octet-stream";
  const response = await fetch(`/predict?${query}`, {
    method: "POST", body, signal, headers: { "Content-Type": type },
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`The prediction failed: ${answer.message}.`);
  return answer;
}

// ---- predictions

function called(model) {
  const slot = model.slot === "champion" ? "Champion" : "Challenger";
  return model.version ? `${slot}, version ${model.version}` : slot;
}

function reasonFor(answer) {
  if (answer.is_sure && !answer.threshold) return "this model has no threshold for being sure";
  if (answer.is_sure) return `at least ${percent(answer.threshold)}, the threshold for a sure prediction`;
  if (answer.threshold === null) return "this model is never sure, as it was validated on too few faces";
  return `below ${percent(answer.threshold)}, the threshold for a sure prediction`;
}

function sentence(answer, isOneOfTwo) {
  const who = isOneOfTwo ? `${called(answer.model)}: ` : "";
  const what = answer.is_sure ? answer.emotion : `not sure, most likely ${answer.emotion}`;
  return `${who}${what}, ${percent(answer.confidence)}; ${reasonFor(answer)}.`;
}

function shown(answer, isOneOfTwo) {
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
    make("p", { class: "over" }, isOneOfTwo ? called(answer.model) : "Prediction"),
    make("h3", { class: "verdict" }, answer.is_sure ? answer.emotion : "Not sure"),
    make(
      "p",
      { class: "reason" },
      make("span", { class: "badge" }, answer.is_sure ? percent(answer.confidence) : `${answer.emotion}? ${percent(answer.confidence)}`),
      reasonFor(answer),
    ),
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
function grow(root) {
  for (const bar of root.querySelectorAll("[data-share]")) bar.style.width = `${100 * bar.dataset.share}%`;
  for (const mark of root.querySelectorAll("[data-at]")) mark.style.left = `${100 * mark.dataset.at}%`;
}

// ---- the model card

async function showModels() {
  try {
    const response = await fetch("/model");
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.message);
    models = answer;
    Object.assign(LIMITS, answer.limits);
    const version = models.champion.version ? `, version ${models.champion.version}` : "";
    $("served").replaceChildren(
      "model: ",
      make("b", {}, `${models.champion.family}${version}`),
      models.champion.tags.data === "sample" ? ", trained on drawn faces" : "",
      models.challenger ? ` · challenger: ${models.challenger.family}, version ${models.challenger.version}` : "",
    );
    $("compare-row").hidden = !models.challenger;
    const filled = ["champion", "challenger"].filter((slot) => models[slot]);
    $("cards").replaceChildren(...filled.map((slot) => modelCard(slot, models[slot])));
  } catch (error) {
    $("served").textContent = "no model is loaded yet";
    $("cards").replaceChildren(make("p", { class: "hint" }, `${error.message}.`));
    setTimeout(showModels, 5000);
  }
}

function scored(scores, name) {
  const value = scores[`test/${name}`];
  if (value === undefined) return null;
  const [low, high] = [scores[`test/${name}_low`], scores[`test/${name}_high`]];
  return low === undefined ? value.toFixed(3) : `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
}

function listed(facts) {
  const list = make("dl");
  for (const [name, value] of facts) if (value) list.append(make("dt", {}, name), make("dd", {}, String(value)));
  return list;
}

function modelCard(slot, model) {
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
  if (model.description) card.append(make("p", { class: "text" }, model.description));
  const rest = Object.entries(tags).map(([name, value]) => [name.replaceAll("_", " "), value]);
  if (rest.length) card.append(make("details", {}, make("summary", {}, "All registry tags"), listed(rest)));
  return card;
}

// ---- the camera

async function openCamera() {
  complain("");
  if (!navigator.mediaDevices?.getUserMedia) {
    complain("This browser allows the camera only over https, or on the machine that runs the service.");
    return;
  }
  try {
    const wish = { video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } } };
    $("video").srcObject = await navigator.mediaDevices.getUserMedia(wish);
    $("camera").showModal();
  } catch (error) {
    const why = error.name === "NotFoundError" ? "none was found" : "access was denied";
    complain(`The camera cannot be used: ${why}.`);
  }
}

async function shoot() {
  const video = $("video");
  const side = Math.min(video.videoWidth, video.videoHeight);
  if (!side) return;
  const canvas = make("canvas", { width: side, height: side });
  const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
  canvas.getContext("2d").drawImage(video, left, top, side, side, 0, 0, side, side);
  const photo = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  $("camera").close();
  await take(photo);
}

function endCamera() {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
  $("video").srcObject = null;
  $("open-camera").focus();
}

// ---- user input

$("file").addEventListener("change", () => {
  const given = $("file").files[0];
  $("file").value = ""; // so that the same file can be chosen again
  if (given) take(given);
});
$("drawn").addEventListener("click", async () => take(await (await fetch("/page/drawn.webp")).blob()));
$("open-camera").addEventListener("click", openCamera);
$("shoot").addEventListener("click", shoot);
$("close-camera").addEventListener("click", () => $("camera").close());
$("camera").addEventListener("close", endCamera);

document.addEventListener("paste", (event) => {
  const given = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
  if (given) take(given);
  else if (event.clipboardData.items.length) complain("The clipboard has no picture.");
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    const stays = name === "dragenter" || name === "dragover";
    $("intake").classList.toggle("over-it", stays);
    if (name === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

$("zoom").addEventListener("input", () => {
  frame.zoom = Number($("zoom").value);
  $("zoom").setAttribute("aria-valuetext", frame.zoom <= 1 ? "the whole picture" : `a frame ${frame.zoom} times smaller`);
  changed();
});
$("canvas").addEventListener("keydown", (event) => {
  const step = bitmap ? Math.min(bitmap.width, bitmap.height) / frame.zoom / 12 : 0;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (!moves[event.key]) return;
  event.preventDefault();
  moveBy(...moves[event.key]);
});
$("canvas").addEventListener("pointerdown", (event) => $("canvas").setPointerCapture(event.pointerId));
$("canvas").addEventListener("pointermove", (event) => {
  if (!(event.buttons & 1)) return;
  const scale = $("canvas").scaleOfPicture;
  moveBy(event.movementX / scale, event.movementY / scale);
});
window.addEventListener("resize", draw);

function explainPoint() {
  $("point-help").textContent = POINTS[$("choices").elements.point.value];
}
$("choices").addEventListener("submit", (event) => event.preventDefault());
$("choices").addEventListener("change", () => {
  explainPoint();
  ask();
});

explainPoint();
showModels();
