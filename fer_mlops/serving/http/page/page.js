// The page: sends a picture and shows its predictions.

import { grow, sentence, shown } from "./answers.js";
import { $, complain, make } from "./dom.js";
import { modelCard } from "./model_card.js";
import { choose, chosenName, draw, faceAt, keepFaces, limit, moveBy, open, photo, searched, subject, zoomTo } from "./photo.js";

const POINTS = {
  natural: "Assumes that emotions are as frequent as in the training pictures; has the highest accuracy.",
  default: "Lies between the two: the best mean score over all seven emotions, with little loss of accuracy.",
  balanced: "Favours rare emotions such as fear and disgust; has a lower accuracy.",
};

let asking = null;
let later = 0;
let models = {};

// ---- the picture

async function take(given) {
  complain("");
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  $("results").setAttribute("aria-busy", "true");
  await open(given);
  if (signal.aborted) return;
  $("zoom").value = 1;
  $("empty").hidden = true;
  $("canvas").hidden = $("frame").hidden = !photo.bitmap;
  $("no-preview").hidden = !!photo.bitmap;
  $("drop").classList.add("full");
  draw();
  await findFaces(signal);
  if (signal.aborted) return;
  draw();
  await ask();
  if (matchMedia("(max-width: 54rem)").matches) $("results").scrollIntoView({ block: "nearest" });
}

/** Offers the faces of the picture; where there are none, the note says what is predicted instead. */
async function findFaces(signal) {
  $("note").textContent = "Looking for faces …";
  $("note").textContent = await lookForFaces(signal).catch((error) => {
    if (error.name === "AbortError") return "";
    return "Faces could not be looked for; the whole picture is predicted.";
  });
}

async function lookForFaces(signal) {
  await isLoaded;
  if (!models.champion) return "";
  if (!models.finds_faces) return "This service has no face detector; the whole picture is predicted.";
  const { content, scale } = await searched();
  const { faces, num_found } = await post({ faces: true }, content, signal);
  keepFaces(faces, scale);
  if (!faces.length) return "No face was found; the whole picture is predicted.";
  return num_found > faces.length ? `${num_found} faces were found; these are the largest.` : "";
}

function changed() {
  draw();
  clearTimeout(later);
  later = setTimeout(ask, 250);
}

// ---- prediction requests

async function ask() {
  if (!photo.file) return;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const point = $("choices").elements.point.value;
  const slots = $("compare").checked && models.challenger ? ["champion", "challenger"] : ["champion"];
  $("results").setAttribute("aria-busy", "true");
  try {
    const [body, face, isOneOfTwo] = [await subject(), chosenName(), slots.length > 1];
    const answers = await Promise.all(
      slots.map((model) => post({ model, point, explain: $("explain").checked }, body, signal)),
    );
    if (signal.aborted) return;
    complain("");
    $("results").replaceChildren(...answers.map((answer) => shown(answer, isOneOfTwo, face)));
    requestAnimationFrame(() => requestAnimationFrame(() => grow($("results"))));
    $("said").textContent = answers.map((answer) => sentence(answer, isOneOfTwo, face)).join(" ");
    if (answers.some((answer) => answer.model.name !== models[answer.model.slot]?.name)) await showModels();
  } catch (error) {
    if (error.name === "AbortError") return;
    $("results").replaceChildren();
    complain(error instanceof TypeError ? "The service does not respond; is it still running?" : error.message);
  } finally {
    if (!signal.aborted) $("results").setAttribute("aria-busy", "false");
  }
}

async function post(query, body, signal) {
  const type = body.type.startsWith("image/") ? body.type : "application/octet-stream";
  const response = await fetch(`/predict?${new URLSearchParams(query)}`, {
    method: "POST", body, signal, headers: { "Content-Type": type },
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`The prediction failed: ${answer.message}.`);
  return answer;
}

// ---- the served models

async function showModels() {
  try {
    const response = await fetch("/model");
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.message);
    models = answer;
    limit(answer.limits);
    const version = models.champion.version ? `, version ${models.champion.version}` : "";
    $("served").replaceChildren(
      "model: ",
      make("b", {}, `${models.champion.family}${version}`),
      models.champion.tags.data === "sample" ? ", trained on drawn faces" : "",
      models.challenger ? ` · challenger: ${models.challenger.family}, version ${models.challenger.version}` : "",
    );
    $("compare-row").hidden = !models.challenger;
    showCards();
  } catch (error) {
    $("served").textContent = "no model is loaded yet";
    $("cards").replaceChildren(make("p", { class: "hint" }, `${error.message}.`));
    setTimeout(showModels, 5000);
  }
}

/** Shows the champion's card, and the challenger's beside it if the challenger is shown. */
function showCards() {
  const slots = ["champion", ...($("compare").checked ? ["challenger"] : [])].filter((slot) => models[slot]);
  $("cards").replaceChildren(...slots.map((slot) => modelCard(slot, models[slot])));
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
  const zoom = Number($("zoom").value);
  zoomTo(zoom);
  $("zoom").setAttribute("aria-valuetext", zoom <= 1 ? "the whole picture" : `a frame ${zoom} times smaller`);
  changed();
});
$("canvas").addEventListener("keydown", (event) => {
  const { bitmap, frame } = photo;
  const step = bitmap ? Math.min(bitmap.width, bitmap.height) / frame.zoom / 12 : 0;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (!moves[event.key]) return;
  event.preventDefault();
  if (moveBy(...moves[event.key])) changed();
});
$("canvas").addEventListener("pointerdown", (event) => $("canvas").setPointerCapture(event.pointerId));
$("canvas").addEventListener("pointermove", (event) => {
  if (!(event.buttons & 1)) return;
  const scale = $("canvas").scaleOfPicture;
  if (moveBy(event.movementX / scale, event.movementY / scale)) changed();
});
$("canvas").addEventListener("click", (event) => {
  const face = photo.frame.zoom <= 1 && faceAt(event.offsetX, event.offsetY);
  if (face) pick(face);
});
$("chips").addEventListener("change", (event) => pick(photo.faces[Number(event.target.value) - 1] ?? null));

function pick(face) {
  zoomTo(1);
  $("zoom").value = 1;
  choose(face);
  draw();
  ask();
}
window.addEventListener("resize", draw);

function explainPoint() {
  $("point-help").textContent = POINTS[$("choices").elements.point.value];
}
$("choices").addEventListener("submit", (event) => event.preventDefault());
$("choices").addEventListener("change", () => {
  explainPoint();
  if (models.champion) showCards();
  ask();
});

explainPoint();
const isLoaded = showModels();
