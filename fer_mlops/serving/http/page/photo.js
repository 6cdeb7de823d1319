// The chosen picture, its faces and its frame. Pictures are kept only in this tab.

import { $, make } from "./dom.js";

const FRAME_SIDE = 1024; // longer side in pixels of a framed or large picture that is sent
const PHOTO_SIDE = 2000; // the same for a large photo in which faces are searched
const FILLS = 0.5; // a lone face of this share of the shorter side fills the picture already
const LIMITS = { max_bytes: 10 * 2 ** 20, max_pixels: 16e6 };

/** The picture as a file, as pixels if this browser can show it, its found faces, and the chosen one. */
export const photo = { file: null, bitmap: null, frame: null, faces: [], chosen: null };

export function limit(limits) {
  Object.assign(LIMITS, limits);
}

export async function open(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  Object.assign(photo, { file, bitmap, frame: { zoom: 1, x: 0.5, y: 0.5 }, faces: [], chosen: null });
  showFaces();
}

/** Returns the frame in pixels of the picture; at zoom 1 it is the whole picture. */
function framed() {
  const { frame, bitmap: { width, height } } = photo;
  if (frame.zoom <= 1) return { left: 0, top: 0, wide: width, high: height };
  const side = Math.min(width, height) / frame.zoom;
  const hold = (centre, length) => Math.min(Math.max(centre * length - side / 2, 0), length - side);
  return { left: hold(frame.x, width), top: hold(frame.y, height), wide: side, high: side };
}

export function draw() {
  const { bitmap, faces } = photo;
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
  Object.assign(canvas, { scaleOfPicture: scale / dense, leftOfPicture: left / dense, topOfPicture: top / dense });
  const placed = (x, y, wide, high) => [left + x * scale, top + y * scale, wide * scale, high * scale];
  pen.strokeStyle = "#fff";
  if (photo.frame.zoom <= 1) {
    for (const face of faces) drawBox(pen, face, placed(...face.place), dense);
    return;
  }
  const cut = framed();
  const hole = placed(cut.left, cut.top, cut.wide, cut.high);
  const shade = new Path2D();
  shade.rect(0, 0, canvas.width, canvas.height);
  shade.rect(...hole);
  pen.fillStyle = "rgb(8 10 16 / .62)";
  pen.fill(shade, "evenodd");
  pen.lineWidth = 2.5 * dense;
  pen.strokeRect(...hole);
}

function drawBox(pen, face, [left, top, wide, high], dense) {
  const isChosen = face === photo.chosen;
  pen.lineWidth = (isChosen ? 6 : 4) * dense;
  pen.strokeStyle = "rgb(8 10 16 / .75)"; // a dark edge around a light line shows on any picture
  pen.strokeRect(left, top, wide, high);
  pen.lineWidth = (isChosen ? 3.5 : 1.5) * dense;
  pen.strokeStyle = isChosen ? "#ffd43b" : "#fff";
  pen.strokeRect(left, top, wide, high);
  pen.font = `600 ${14 * dense}px system-ui, sans-serif`;
  pen.fillStyle = isChosen ? "#ffd43b" : "#fff";
  pen.fillRect(left, top, 20 * dense, 20 * dense);
  pen.fillStyle = "#10131c";
  pen.textAlign = "center";
  pen.fillText(face.number, left + 10 * dense, top + 15 * dense);
}

/** Moves the frame; returns whether there is one to move. */
export function moveBy(right, down) {
  const { frame, bitmap } = photo;
  if (!bitmap || frame.zoom <= 1) return false;
  const cut = framed(); // start from the drawn frame, which stops at the edges
  frame.x = (cut.left + cut.wide / 2 + right) / bitmap.width;
  frame.y = (cut.top + cut.high / 2 + down) / bitmap.height;
  return true;
}

/** Sets the zoom of the frame; a frame replaces the chosen face. */
export function zoomTo(zoom) {
  photo.frame.zoom = zoom;
  if (zoom > 1) choose(null);
}

// ---- uploads

function fits() {
  const { file, bitmap } = photo;
  return !bitmap || (file.size <= LIMITS.max_bytes && bitmap.width * bitmap.height <= LIMITS.max_pixels);
}

/** Returns the upload: the chosen face, or the file itself, or a PNG if it is framed or too large. */
export async function subject() {
  if (photo.chosen) return photo.chosen.crop;
  if (!photo.bitmap || (photo.frame.zoom <= 1 && fits())) return photo.file;
  return (await drawn(framed(), FRAME_SIDE, "image/png")).content;
}

/** Returns the upload in which faces are searched, and its scale. */
export async function searched() {
  if (fits()) return { content: photo.file, scale: 1 };
  const { width, height } = photo.bitmap;
  return drawn({ left: 0, top: 0, wide: width, high: height }, PHOTO_SIDE, "image/jpeg");
}

async function drawn(cut, side, type) {
  const scale = Math.min(1, side / Math.max(cut.wide, cut.high));
  const canvas = make("canvas", {
    width: Math.max(1, Math.round(cut.wide * scale)),
    height: Math.max(1, Math.round(cut.high * scale)),
  });
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(photo.bitmap, cut.left, cut.top, cut.wide, cut.high, 0, 0, canvas.width, canvas.height);
  const content = await new Promise((done) => canvas.toBlob(done, type, 0.92));
  return { content, scale };
}

// ---- faces

/** Offers the faces of a response, and chooses the largest; a lone face that fills the picture is no choice. */
export function keepFaces(found, scale) {
  const { bitmap } = photo;
  const faces = found.map(({ box: [left, top, right, bottom], crop }, i) => ({
    number: i + 1,
    place: [left, top, right - left, bottom - top].map((pixels) => pixels / scale),
    shown: crop,
    crop: blobOf(crop),
  }));
  const [largest] = [...faces].sort((one, other) => other.place[2] - one.place[2]);
  const isFilled = faces.length === 1 && bitmap && largest.place[2] >= FILLS * Math.min(bitmap.width, bitmap.height);
  photo.faces = isFilled ? [] : faces;
  photo.chosen = isFilled ? null : largest ?? null;
  showFaces();
}

function blobOf(uri) {
  const [head, text] = uri.split(",");
  const type = head.slice("data:".length).split(";")[0];
  return new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type });
}

/** Chooses a face, or none for the whole picture or a frame of it. */
export function choose(face) {
  photo.chosen = face;
  for (const radio of document.querySelectorAll("#chips input")) {
    radio.checked = radio.value === (face ? String(face.number) : photo.frame.zoom > 1 ? "" : "whole");
  }
}

/** Returns the face at a point of the canvas, in its CSS pixels. */
export function faceAt(x, y) {
  const { scaleOfPicture: scale, leftOfPicture, topOfPicture } = $("canvas");
  const [across, down] = [(x - leftOfPicture) / scale, (y - topOfPicture) / scale];
  return photo.faces.find(
    ({ place: [left, top, wide, high] }) => across >= left && across <= left + wide && down >= top && down <= top + high,
  );
}

/** Returns what the chosen face is called, if there are faces to choose from. */
export function chosenName() {
  return photo.chosen ? `Face ${photo.chosen.number} of ${photo.faces.length}` : "";
}

function showFaces() {
  const { faces, chosen } = photo;
  $("faces").hidden = !faces.length;
  $("faces-title").textContent = faces.length === 1 ? "1 face found" : `${faces.length} faces found: choose one`;
  const chips = faces.map((face) => chip(String(face.number), `Face ${face.number}`, face === chosen, make("img", { src: face.shown, alt: "" })));
  $("chips").replaceChildren(...chips, chip("whole", "Whole picture", !chosen));
}

function chip(value, name, isChecked, ...before) {
  const radio = make("input", { type: "radio", name: "face", value });
  radio.checked = isChecked;
  return make("label", { class: "chip" }, radio, ...before, make("span", {}, name));
}
