// Checks CloudFormation templates against resource schemas, with AWS's own validator:
//
//     node validate.js FILE...
//
// The templates are template.yaml with its functions evaluated (internal/template/expanded_test.go), so literal names and
// account numbers in them are expected.
const { RegoEngine, TemplateFile } = require("@aws/cloudformation-validate");

const expected = ["W9002", "W9013"]; // a literal ARN, a literal account number
const engine = new RegoEngine();
let found = 0;
for (const file of process.argv.slice(2)) {
  const { diagnostics } = engine.validateStandard(new TemplateFile(file));
  for (const d of diagnostics) {
    if (d.severity !== "INFO" && d.severity !== "DEBUG" && !expected.includes(d.ruleId)) {
      found++;
      console.error(`${file}: ${d.severity} ${d.ruleId} ${d.entity?.logicalId ?? ""} ${d.propertyPath ?? ""}: ${d.message}`);
    }
  }
  console.log(`${file}: ${diagnostics.length} diagnostics`);
}
engine.free();
process.exitCode = found > 0 || process.argv.length < 3 ? 1 : 0;
