'use strict'
// The gate before Studio, which asks nobody who he is: basic authentication on the public port.
// Started with the paths where Studio's program may be; the first that is there is run.

const { createHash, timingSafeEqual } = require('node:crypto')
const { existsSync } = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const { spawn } = require('node:child_process')

const { DASHBOARD_USERNAME: user, DASHBOARD_PASSWORD: password, ...rest } = process.env
const port = Number(rest.PORT || 3000)
const studio = { host: '127.0.0.1', port: Number(rest.STUDIO_PORT || port + 1) }
const program = process.argv.slice(2).find((path) => existsSync(path))
if (!user || !password || !program) {
  console.error('studio gate: needs DASHBOARD_USERNAME, DASHBOARD_PASSWORD and a program')
  process.exit(1)
}

// Digests have one length, so that comparing them takes one time.
const digest = (text) => createHash('sha256').update(text).digest()
const wanted = digest('Basic ' + Buffer.from(`${user}:${password}`).toString('base64'))
const isKnown = ({ headers }) => timingSafeEqual(digest(headers.authorization || ''), wanted)
const isOpen = ({ method, url }) =>
  ['GET', 'HEAD'].includes(method) && url === rest.STUDIO_GATE_OPEN_PATH

// Headers as they were sent, in pairs, without some.
const without = (raw, ...names) =>
  raw.filter((_, i) => !names.includes(raw[i - (i % 2)].toLowerCase()))

const server = http.createServer((request, response) => {
  if (!isOpen(request) && !isKnown(request)) {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="Studio", charset="UTF-8"' }).end()
    return
  }
  // What concerns one connection stays on it.
  const { authorization, connection, ...headers } = request.headers
  const { method, url: path } = request
  const asked = http.request({ ...studio, method, path, headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode, without(answer.rawHeaders, 'connection', 'keep-alive'))
    answer.pipe(response).on('close', () => answer.destroy())
    answer.on('error', () => response.destroy())
  })
  asked.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()))
  response.on('close', () => asked.destroy())
  // Studio may answer before there is a body.
  asked.flushHeaders()
  request.pipe(asked)
})

server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => socket.destroy())
  // Whatever is sent later on this connection goes to Studio unseen: no address is open here.
  if (!isKnown(request)) {
    socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    return
  }
  const lines = [`${request.method} ${request.url} HTTP/1.1`]
  const headers = without(request.rawHeaders, 'authorization')
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`)
  const inner = net.connect(studio, () => {
    inner.write(lines.join('\r\n') + '\r\n\r\n')
    inner.write(head)
    inner.pipe(socket).pipe(inner)
  })
  inner.on('error', () => socket.destroy()).on('close', () => socket.destroy())
  socket.on('close', () => inner.destroy())
})

const environment = { ...rest, PORT: String(studio.port), HOSTNAME: studio.host }
const child = spawn(process.execPath, [program], { env: environment, stdio: 'inherit' })
child.on('exit', (code) => process.exit(code ?? 1))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
server.listen(port, () => console.log(`studio gate: listens on ${port}`))
