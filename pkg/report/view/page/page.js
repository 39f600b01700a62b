'use strict';
// Tables are sorted by the buttons in their headings and filtered by the field above them.
for (const table of document.querySelectorAll('table.rows')) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...heading.childNodes);
    heading.append(button);
    const numeric = heading.classList.contains('n');
    const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
    button.addEventListener('click', () => {
      const was = heading.getAttribute('aria-sort');
      const down = was ? was === 'ascending' : numeric;
      headings.forEach(h => h.removeAttribute('aria-sort'));
      heading.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const sign = down ? -1 : 1;
      const rows = [...body.rows].map(row => [value(row), row]);
      rows.sort(([a], [b]) => sign * (numeric ? a - b : a.localeCompare(b, 'en', { numeric: true })));
      body.append(...rows.map(([, row]) => row));
    });
  });
  if (body.rows.length < 8) continue;
  const field = document.createElement('input');
  field.type = 'search';
  field.setAttribute('aria-label', 'Filter ' + table.dataset.name);
  const label = document.createElement('label');
  label.className = 'soft';
  label.append('Filter ', field);
  const count = document.createElement('span');
  count.className = 'soft';
  count.setAttribute('role', 'status');
  field.addEventListener('input', () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      if (!row.hidden) shown++;
    }
    count.textContent = words.length ? ' ' + shown + ' of ' + body.rows.length + ' rows' : '';
  });
  table.parentElement.before(label, count);
}
