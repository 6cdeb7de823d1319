// The REST interface, as /openapi.json states it.

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function rows(caption, cells) {
  const body = cells.map(([name, said]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, said)));
  return make("table", {}, make("caption", {}, caption), make("tbody", {}, ...body));
}

function valuesOf(schema) {
  const values = schema.enum ? schema.enum.join(", ") : schema.type;
  return `${values}; ${JSON.stringify(schema.default)} unless said. `;
}

function saidOf(about, all) {
  const found = [about, about.items ?? {}, ...(about.anyOf ?? [])].find((one) => one.$ref);
  return found ? all[found.$ref.split("/").pop()].description : "";
}

function fieldsOf(schema, all) {
  const name = schema.$ref?.split("/").pop();
  const found = name ? all[name] : schema;
  return Object.entries(found.properties ?? {}).map(([field, about]) => [
    field,
    about.description ?? about.examples?.join(", ") ?? (saidOf(about, all) || about.type),
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
      const shown = Object.values(examples ?? {}).map((one) => JSON.stringify(one.value));
      const needed = (schema?.oneOf ?? []).map((one) => `{"${one.required[0]}": …}`);
      return [kind, [...shown, ...needed].join(" or ") || (kind.startsWith("multipart") ? "one file or several" : "the image as it is")];
    });
    card.append(rows("Body, one of", kinds));
  }
  if (about.parameters) {
    card.append(
      rows("In the address", about.parameters.map((one) => [`?${one.name}=`, valuesOf(one.schema) + (one.description ?? "")])),
    );
  }
  const schema = about.responses["200"]?.content?.["application/json"]?.schema ?? {};
  for (const one of schema.anyOf ?? []) {
    const name = one.$ref.split("/").pop();
    card.append(rows(`Answer: ${all[name].description.toLowerCase()}`, fieldsOf(one, all)));
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
