// Python for the live examples of one page (live.js). In a worker it does not block the page, and the page can end it.
let python = null;

async function start(pyodide) {
  importScripts(`${pyodide}pyodide.js`);
  const interpreter = await loadPyodide({ indexURL: pyodide, env: { MPLBACKEND: "agg" } });
  const [archive] = await Promise.all([fetch("live.zip"), interpreter.loadPackage(["numpy", "matplotlib"])]);
  if (!archive.ok) throw new Error(`live.zip: ${archive.status}`);
  interpreter.unpackArchive(await archive.arrayBuffer(), "zip");
  const { run } = interpreter.pyimport("run_example");
  return (source) => run(source, interpreter.globals);
}

onmessage = async ({ data: { pyodide, source } }) => {
  try {
    python ??= start(pyodide);
    const run = await python;
    postMessage({ started: true });
    postMessage(JSON.parse(run(source)));
  } catch (error) {
    postMessage({ lost: true, failed: true, text: `Python did not start: ${error.message}`, pictures: [] });
  }
};
