# The server and its demo app: docker run IMAGE serves the demo on /tmp/app.sock inside the container.
# An app of one's own is mounted at /app, with an app.js in it.

FROM node:26-bookworm-slim AS build
WORKDIR /srv/fasticorn
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM node:26-bookworm-slim AS production
WORKDIR /srv/fasticorn
COPY package.json package-lock.json ./
RUN npm ci --omit=dev

FROM node:26-bookworm-slim
ENV NODE_ENV=production
COPY --from=production /srv/fasticorn /srv/fasticorn
COPY --from=build /srv/fasticorn/dist /srv/fasticorn/dist
# The demo stands where a mounted app will.
RUN mkdir /app && ln -s /srv/fasticorn/dist/demo.js /app/app.js
WORKDIR /app
USER node
# Any HTTP answer within 3 s is healthy, so an app needs no special route.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["node", "-e", "http.get({ socketPath: '/tmp/app.sock', headers: { 'user-agent': 'docker-health-check' }, signal: AbortSignal.timeout(3000) }, () => process.exit(0)).on('error', () => process.exit(1))"]
# The exec form: signals reach the arbiter, and npm is not between.
ENTRYPOINT ["node", "/srv/fasticorn/dist/cli.js"]
CMD ["/app/app.js"]
