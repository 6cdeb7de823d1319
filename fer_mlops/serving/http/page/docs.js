// The REST interface, from /openapi.json.

import { $, make } from "./dom.js";

function rows(caption, cells) {
  const body = cells.map(([name, text]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text)));
  return make("table", {}, make("caption", {}, caption), make("tbody", {}, ...body));
}

function valuesOf(schema) {
  const values = schema.enum ? schema.enum.join(", ") : schema.type;
  return `${values}; default ${JSON.stringify(schema.default)}. `;
}

function descriptionOf(about, all) {
  const found = [about, about.items ?? {}, ...(about.anyOf ?? [])].find((item) => item.$ref);
  return found ? all[found.$ref.split("/").pop()].description : "";
}

function fieldsOf(schema, all) {
  const name = schema.$ref?.split("/").pop();
  const found = name ? all[name] : schema;
  return Object.entries(found.properties ?? {}).map(([field, about]) => [
    field,
    about.description ?? (about.enum ?? about.examples)?.join(", ") ?? (descriptionOf(about, all) || about.type),
  ]);
}

function endpoint(path, method, about, all) {
  const card = make(
    "section",
    { class: "card endpoint" },
    make("h2", {}, make("span", { class: "method" }, method.toUpperCase()), path, make("small", {}, about.summary)),
  );
  if (about.requestBody) {
    const kinds = Object.entries(about.requestBody.content).map(([kind, { examples, schema }]) => {
      const shown = Object.values(examples ?? {}).map((example) => JSON.stringify(example.value));
      const needed = (schema?.oneOf ?? []).map((form) => `{"${form.required[0]}": …}`);
      return [kind, [...shown, ...needed].join(" or ") || (kind.startsWith("multipart") ? "one or more files" : "the encoded image")];
    });
    card.append(rows("Body, one of these content types", kinds));
  }
  if (about.parameters) {
    card.append(
      rows("Query parameters", about.parameters.map((param) => [`?${param.name}=`, valuesOf(param.schema) + (param.description ?? "")])),
    );
  }
  const schema = about.responses["200"]?.content?.["application/json"]?.schema ?? {};
  for (const option of schema.anyOf ?? []) {
    const name = option.$ref.split("/").pop();
    card.append(rows(`Response: ${all[name].description.toLowerCase()}`, fieldsOf(option, all)));
  }
  const errors = Object.entries(about.responses).filter(([status]) => /^4(?!22)|^5/.test(status));
  if (errors.length) card.append(rows("Errors", errors.map(([status, { description }]) => [status, description])));
  return card;
}

const response = await fetch("/openapi.json");
const { paths, components } = await response.json();
$("first").textContent = `curl ${location.origin}/predict -H 'Content-Type: image/jpeg' --data-binary @face.jpg`;
$("endpoints").replaceChildren(
  ...Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => method !== "head")
      .map(([method, about]) => endpoint(path, method, about, components.schemas)),
  ),
);
