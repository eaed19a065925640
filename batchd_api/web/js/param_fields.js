// The fields of a job type's parameters, with their titles and defaults.

import { h } from "./dom.js";
import { field, input } from "./dialogs.js";

const HINTS = { InputFile: "path of a file that is read", OutputFile: "path of a file that is written", Integer: "a whole number" };

// `given`: values that win over the defaults.
export function paramFields(type, given = {}) {
  const controls = type.params.map((param) => [param.name, control(param, given[param.name])]);
  const labelled = type.params.map((param, number) => field(param.title || param.name, controls[number][1], { hint: hintOf(param), wide: isLong(param) }));
  return {
    element: h("div", { class: "fields params" }, labelled),
    // What was left empty is not sent: then the default of the moment counts, at the start of the job.
    values: () => Object.fromEntries(controls.filter(([, one]) => one.value !== "").map(([name, one]) => [name, one.value])),
  };
}

function control(param, value) {
  const props = { "data-param": param.name, placeholder: param.default || null };
  if (param.type === "Integer") return input(`param-${param.name}`, value ?? "", { ...props, inputmode: "numeric", class: "mono" });
  return input(`param-${param.name}`, value ?? "", { ...props, class: "mono", spellcheck: "false" });
}

const isLong = (param) => param.type !== "Integer";

function hintOf(param) {
  const parts = [param.title && param.title !== param.name && param.name, HINTS[param.type], param.default && `default: ${param.default}`];
  return parts.filter(Boolean).join(" · ");
}
