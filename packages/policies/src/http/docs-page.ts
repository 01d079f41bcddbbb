import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { FastifyPluginAsync } from "fastify";
import { policyErrors } from "../errors.ts";

/** Files of swagger-ui-dist that the page is made of. */
export const docsFiles = ["swagger-ui-bundle.js", "swagger-ui.css"] as const;

/** Nothing is loaded from elsewhere, nothing is run or framed that is not here. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const headers = {
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Elasti scaling policies</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`;

// The token stays in the memory of the page, and is not to be seen there: what is typed into a plain field, browsers keep to offer it
// again, and a page with a command that has it is soon a screenshot.
const start = `const hideToken = () => ({
  wrapComponents: {
    Input: (Input, { React }) => (given) => {
      const secret = given.id === "auth-bearer-value" ? { type: "password", autoComplete: "off" } : {};
      return React.createElement(Input, { ...given, ...secret });
    },
    curl: (Curl, { React }) => (given) => {
      const shown = given.request.updateIn(["headers", "Authorization"], (said) => said && "Bearer TOKEN");
      return React.createElement(Curl, { ...given, request: shown });
    },
  },
});
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  queryConfigEnabled: false,
  plugins: [hideToken],
});
`;

const types: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

/** A page on which the API can be tried. It needs no token; what it sends does. @param folder of swagger-ui-dist */
export function docsPage(folder: string): FastifyPluginAsync {
  return async (app) => {
    app.addHook("onSend", async (_request, reply) => {
      reply.headers(headers);
    });
    app.get("/docs", (_request, reply) => reply.type("text/html; charset=utf-8").send(page));
    app.get("/docs/start.js", (_request, reply) => reply.type(types.js ?? "").send(start));
    for (const file of docsFiles) {
      const path = join(folder, file);
      app.get(`/docs/${file}`, async (_request, reply) => {
        const { size } = await stat(path).catch((cause: unknown) => {
          throw policyErrors.ELASTI_POLICY_NO_SUCH_PATH(`${file} is not part of this installation`, { cause });
        });
        const type = types[file.slice(file.lastIndexOf(".") + 1)] ?? "";
        return reply
          .headers({ "content-length": size, "cache-control": "public, max-age=3600" })
          .type(type)
          .send(createReadStream(path));
      });
    }
  };
}
