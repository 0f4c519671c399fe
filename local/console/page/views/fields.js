// A control with its label, hint and error, tied together for a screen reader without the hint becoming part of the name.

import { useId } from "preact/hooks";
import { html } from "../lib.js";

/**
 * @param {{label: string, hint?: any, error?: string, class?: string, children: (props: Record<string, any>) => any}} props
 *   `children` draws the control with the properties that it gets
 */
export function Control({ label, hint, error, class: name = "", children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return html`
    <div class="field ${name}">
      <label class="field-label" for=${id}>${label}</label>
      ${children({ id, "aria-describedby": described || null, "aria-invalid": error ? "true" : null })}
      ${hint && html`<span class="field-hint" id=${`${id}-hint`}>${hint}</span>`}
      ${error && html`<span class="field-error" id=${`${id}-error`}>${error}</span>`}
    </div>`;
}

/** A checkbox with its label and hint. @param {{label: string, hint?: string, checked: boolean, disabled?: boolean, testid?: string, onChange: (checked: boolean) => void}} props */
export function Check({ label, hint, checked, disabled = false, testid, onChange }) {
  const id = useId();
  return html`
    <div class="check-field">
      <input type="checkbox" id=${id} checked=${checked} disabled=${disabled} data-testid=${testid}
        aria-describedby=${hint ? `${id}-hint` : null}
        onChange=${(/** @type {any} */ event) => onChange(event.currentTarget.checked)} />
      <label for=${id}>${label}</label>
      ${hint && html`<span class="field-hint" id=${`${id}-hint`}>${hint}</span>`}
    </div>`;
}

/**
 * One of a few, as a row of buttons that are radios.
 * @param {{label: string, name: string, value: string, options: Array<[string, string]>, onChange: (value: string) => void, testid?: string}} props
 */
export function Choice({ label, name, value, options, onChange, testid }) {
  return html`
    <fieldset class="choice" data-testid=${testid}>
      <legend class="field-label">${label}</legend>
      <div class="choice-options">
        ${options.map(([option, text]) => html`
          <label key=${option} class="choice-option">
            <input type="radio" name=${name} value=${option} checked=${option === value} onChange=${() => onChange(option)} />
            <span>${text}</span>
          </label>`)}
      </div>
    </fieldset>`;
}
