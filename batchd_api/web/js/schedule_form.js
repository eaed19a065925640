// Making and changing a schedule, with its week beside it.

import { post, put } from "./api.js";
import { field, formDialog, input } from "./dialogs.js";
import { button, fill, h, iconButton } from "./dom.js";
import { DAYS, weekChart } from "./week_chart.js";

const NEW_PERIOD = { begin: "22:00:00", end: "06:00:00" };

export function editSchedule(schedule) {
  const name = schedule ? null : input("name", "", { required: true, autofocus: true });
  const days = DAYS.map((day) => h("input", { type: "checkbox", value: day, checked: !schedule?.weekdays || schedule.weekdays.includes(day) }));
  const periods = periodList(schedule ? (schedule.time ?? []) : [NEW_PERIOD], () => show());
  const chart = h("div", { class: "week-preview" });

  const value = () => {
    const chosen = days.filter((box) => box.checked).map((box) => box.value);
    const time = periods.values();
    return { weekdays: chosen.length === DAYS.length ? null : chosen, time: time.length ? time : null };
  };
  const show = () => fill(chart, weekChart(value()));
  const body = h(
    "div",
    { oninput: show },
    name && field("Name", name),
    h("fieldset", { class: "days" }, h("legend", {}, "Days on which a time begins"), days.map((box) => h("label", { class: "day" }, box, h("span", {}, box.value.slice(0, 3))))),
    periods.element,
    chart,
  );
  show();
  return formDialog({
    title: schedule ? `Change the schedule ${schedule.name}` : "New schedule",
    body,
    action: schedule ? "Save" : "Make the schedule",
    submit: () => {
      if (!days.some((box) => box.checked)) throw new Error("Choose at least one day.");
      return schedule ? put(["schedule", schedule.name], value()) : post(["schedule"], { name: name.value, ...value() });
    },
  });
}

function periodList(given, changed) {
  let rows = [];
  const list = h("div", {});
  const whole = h("p", { class: "hint" }, "No times: the whole day.");
  const element = h(
    "fieldset",
    {},
    h("legend", {}, "Times"),
    list,
    whole,
    button("Add a time", () => add(NEW_PERIOD), { name: "plus", kind: "small" }),
    h("p", { class: "hint" }, "A time that ends before it begins runs over midnight. 00:00 as its end is midnight."),
  );

  function add(period) {
    const begin = input("begin", period.begin.slice(0, 5), { type: "time", required: true, "aria-label": "Begins" });
    const end = input("end", period.end.slice(0, 5), { type: "time", required: true, "aria-label": "Ends" });
    const row = { begin, end };
    row.element = h("div", { class: "row period" }, begin, "–", end, iconButton("close", "Remove this time", () => drop(row)));
    rows.push(row);
    list.append(row.element);
    shown();
  }

  function drop(row) {
    rows = rows.filter((one) => one !== row);
    row.element.remove();
    shown();
  }

  function shown() {
    whole.hidden = rows.length > 0;
    changed();
  }

  const later = changed;
  changed = () => {};
  given.forEach(add);
  changed = later;
  const full = (value) => `${value}:00`.slice(0, 8);
  return { element, values: () => rows.map(({ begin, end }) => ({ begin: full(begin.value), end: full(end.value) })) };
}
