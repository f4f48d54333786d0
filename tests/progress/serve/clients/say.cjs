// One JSON object a line, for the test that started the client.
module.exports = (what, more = {}) => process.stdout.write(JSON.stringify({ what, ...more }) + "\n");
