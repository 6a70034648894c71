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
# The demo stands where a mounted app will; docker exec CONTAINER fasticorn reload finds the command.
RUN mkdir /app && ln -s /srv/fasticorn/dist/demo.js /app/app.js \
  && ln -s /srv/fasticorn/dist/cli.js /usr/local/bin/fasticorn
WORKDIR /app
USER node
# Healthy while a worker of this very container serves: of two containers that share a socket, during a takeover, only
# the one that has it. Asked over the control socket, so an app needs no special route, and no worker need be free.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["fasticorn", "status"]
# The exec form: signals reach the arbiter, and npm is not between.
ENTRYPOINT ["node", "/srv/fasticorn/dist/cli.js"]
CMD ["/app/app.js"]
