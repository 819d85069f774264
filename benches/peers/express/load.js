'use strict';
// Measures server.js: makes orders, signs WeChat's callbacks for them before the clock starts, sends
// each once over as many connections as asked, and holds the books against what was answered.
// `benches/peers/run express` starts it; `--help` says what it takes.

const { createCipheriv, generateKeyPairSync, randomBytes, randomUUID, sign } = require('node:crypto');
const { spawn } = require('node:child_process');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const net = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { parseArgs } = require('node:util');
const { QueryTypes } = require('sequelize');
const { connect, PAID, TABLES } = require('./database');

const HELP = `Express + Sequelize on MySQL: a callback settled in one transaction.

  --connections 1,16,64   how many at a time, one measurement for each
  --orders 8000           orders of each measurement; of one connection a tenth
  --processes 2           service processes, as PM2 would keep one for each core
  --pool 16               database connections of each
  --json                  one JSON object a line`;
const CUSTOMERS = 50_000;
const MERCHANTS = 10;
const AMOUNT_FEN = 1_288;
const PATH = '/api/payment/callback';
/** Linux tells processor time in hundredths of a second. */
const TICK_US = 10_000;
/** Sent before anything is measured, until V8 has compiled what is hot. */
const WARM_UP = { connections: 8, orders: 400 };

function cpuUs(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const words = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(words[11]) + Number(words[12])) * TICK_US;
}

async function bulk(sequelize, head, rows) {
  for (let from = 0; from < rows.length; from += 1_000) {
    await sequelize.query(head + rows.slice(from, from + 1_000).join(','));
  }
}

async function prepare(sequelize, count) {
  await sequelize.query(`DROP DATABASE IF EXISTS ${process.env.DATABASE_NAME}`);
  await sequelize.query(`CREATE DATABASE ${process.env.DATABASE_NAME} CHARACTER SET utf8mb4`);
  await sequelize.query(`USE ${process.env.DATABASE_NAME}`);
  for (const table of TABLES) await sequelize.query(table);
  const users = Array.from({ length: CUSTOMERS }, () => randomUUID());
  const merchants = Array.from({ length: MERCHANTS }, () => randomUUID());
  await bulk(sequelize, 'INSERT INTO users (id, wechat_id) VALUES ', users.map((id) => `('${id}','o${id.slice(0, 27)}')`));
  await bulk(sequelize, 'INSERT INTO user_points (user_id) VALUES ', users.map((id) => `('${id}')`));
  await bulk(sequelize, 'INSERT INTO merchants (id, merchant_name) VALUES ', merchants.map((id) => `('${id}','店')`));
  const numbers = Array.from({ length: count }, (_, index) => `B${String(index).padStart(23, '0')}`);
  await bulk(
    sequelize,
    'INSERT INTO payment_orders (id, order_no, user_id, merchant_id, amount) VALUES ',
    numbers.map(
      (no, index) =>
        `('${randomUUID()}','${no}','${users[index % CUSTOMERS]}','${merchants[index % MERCHANTS]}',${AMOUNT_FEN / 100})`,
    ),
  );
  return numbers;
}

/** A callback as WeChat sends it, whole, as bytes. */
function callback(keys, privateKey, no, index) {
  const nonce = randomBytes(6).toString('hex');
  const now = new Date();
  const plain = JSON.stringify({
    sp_appid: 'wx0123456789abcdef',
    sp_mchid: '1900000001',
    sub_mchid: '1900000109',
    out_trade_no: no,
    transaction_id: `42000000${String(index).padStart(20, '0')}`,
    trade_type: 'JSAPI',
    trade_state: 'SUCCESS',
    trade_state_desc: '支付成功',
    bank_type: 'OTHERS',
    attach: '',
    success_time: now.toISOString(),
    payer: { sp_openid: 'oBench000000000000000000000' },
    amount: { total: AMOUNT_FEN, payer_total: AMOUNT_FEN, currency: 'CNY', payer_currency: 'CNY' },
  });
  const cipher = createCipheriv('aes-256-gcm', keys.apiv3Key, nonce);
  cipher.setAAD(Buffer.from('transaction'));
  const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  const body = Buffer.from(
    JSON.stringify({
      id: randomUUID(),
      create_time: now.toISOString(),
      resource_type: 'encrypt-resource',
      event_type: 'TRANSACTION.SUCCESS',
      summary: '支付成功',
      resource: {
        original_type: 'transaction',
        algorithm: 'AEAD_AES_256_GCM',
        ciphertext: sealed.toString('base64'),
        associated_data: 'transaction',
        nonce,
      },
    }),
  );
  const timestamp = Math.floor(now.getTime() / 1000);
  const signed = Buffer.concat([Buffer.from(`${timestamp}\n${nonce}\n`), body, Buffer.from('\n')]);
  const head =
    `POST ${PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n` +
    `wechatpay-timestamp: ${timestamp}\r\nwechatpay-nonce: ${nonce}\r\n` +
    `wechatpay-signature: ${sign('RSA-SHA256', signed, privateKey).toString('base64')}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** One connection that sends the next request as soon as the last one is answered. */
function worker(port, next, latencies) {
  return new Promise((resolve, reject) => {
    let errors = 0;
    let sent = 0n;
    let answer = '';
    const socket = net.connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    const send = () => {
      const request = next();
      if (request === undefined) {
        socket.destroy();
        resolve(errors);
        return;
      }
      answer = '';
      sent = process.hrtime.bigint();
      socket.write(request);
    };
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the service hung up')));
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      const head = answer.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = /\r\ncontent-length: (\d+)/i.exec(answer.slice(0, head));
      if (answer.length < head + 4 + (length ? Number(length[1]) : 0)) return;
      latencies.push(Number(process.hrtime.bigint() - sent) / 1e6);
      if (answer.slice(9, 12) !== '204') errors += 1;
      send();
    });
  });
}

async function measure(ports, requests, connections, pids) {
  let at = 0;
  const next = () => requests[at++];
  const latencies = [];
  const used = () => Object.fromEntries(Object.entries(pids).map(([who, of]) => [who, of.reduce((sum, pid) => sum + cpuUs(pid), 0)]));
  const before = used();
  const began = process.hrtime.bigint();
  const workers = Array.from({ length: connections }, (_, index) => worker(ports[index % ports.length], next, latencies));
  const errors = (await Promise.all(workers)).reduce((sum, wrong) => sum + wrong, 0);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const after = used();
  latencies.sort((a, b) => a - b);
  const percentile = (percent) => {
    const index = Math.min(Math.floor((latencies.length * percent) / 100), latencies.length - 1);
    return Math.round(latencies[index] * 1000) / 1000;
  };
  return {
    name: 'express_settle_http',
    connections,
    per_second: Math.round(latencies.length / seconds),
    p50_ms: percentile(50),
    p95_ms: percentile(95),
    p99_ms: percentile(99),
    errors,
    cpu_us_each: Object.fromEntries(Object.keys(pids).map((who) => [who, Math.round((after[who] - before[who]) / latencies.length)])),
  };
}

async function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function ready(port) {
  for (let tries = 0; tries < 300; tries += 1) {
    const answered = await fetchStatus(port);
    if (answered === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the service does not get ready');
}

function fetchStatus(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('GET /healthz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n'));
    socket.on('error', () => resolve(0));
    socket.on('data', (data) => {
      socket.destroy();
      resolve(Number(data.toString('latin1').slice(9, 12)));
    });
  });
}

function table(rows) {
  const head = ['', 'connections', 'a second', 'p50 ms', 'p95 ms', 'p99 ms', 'errors', 'CPU µs each: service', 'MySQL', 'generator'];
  const lines = rows.map((row) => [
    row.name,
    row.connections,
    row.per_second,
    row.p50_ms.toFixed(2),
    row.p95_ms.toFixed(2),
    row.p99_ms.toFixed(2),
    row.errors,
    row.cpu_us_each.service,
    row.cpu_us_each.mysql,
    row.cpu_us_each.generator,
  ].map(String));
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column].length)));
  const show = (line) => line.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join('  ');
  return [head, ...lines].map(show).join('\n');
}

async function main() {
  const { values } = parseArgs({
    options: {
      connections: { type: 'string', default: '1,16,64' },
      orders: { type: 'string', default: '8000' },
      processes: { type: 'string', default: '2' },
      pool: { type: 'string', default: '16' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const plan = values.connections.split(',').map((text) => {
    const connections = Number(text);
    const orders = connections === 1 ? Math.ceil(Number(values.orders) / 10) : Number(values.orders);
    return { connections, orders };
  });
  const count = plan.reduce((sum, { orders }) => sum + orders, WARM_UP.orders);
  const name = process.env.DATABASE_NAME;
  process.env.DATABASE_NAME = '';
  const admin = connect(1);
  process.env.DATABASE_NAME = name;
  console.error(`→ making ${CUSTOMERS} customers and ${count} orders`);
  const numbers = await prepare(admin, count);

  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keys = {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }),
    apiv3Key: randomBytes(16).toString('hex'),
  };
  const folder = mkdtempSync(join(tmpdir(), 'zhangfang-peer-'));
  const services = [];
  try {
    writeFileSync(join(folder, 'keys.json'), JSON.stringify(keys));
    const ports = [];
    for (let process_ = 0; process_ < Number(values.processes); process_ += 1) {
      const port = await freePort();
      ports.push(port);
      services.push(
        spawn(process.env.NODE || process.execPath, [join(__dirname, 'server.js')], {
          env: { ...process.env, NODE_ENV: 'production', PORT: String(port), POOL: values.pool, KEYS: join(folder, 'keys.json') },
          stdio: ['ignore', 'inherit', 'inherit'],
        }),
      );
    }
    await Promise.all(ports.map(ready));
    const [{ folder: data, file }] = await admin.query('SELECT @@datadir AS folder, @@pid_file AS file', { type: QueryTypes.SELECT });
    const database = Number(readFileSync(file.startsWith('/') ? file : join(data, file), 'utf8'));
    const pids = { service: services.map((service) => service.pid), mysql: [database], generator: [process.pid] };
    const rows = [];
    let from = 0;
    let failed = 0;
    for (const { connections, orders, warmUp } of [{ ...WARM_UP, warmUp: true }, ...plan]) {
      console.error(`→ signing ${orders} callbacks`);
      const requests = numbers.slice(from, from + orders).map((no, index) => callback(keys, privateKey, no, from + index));
      from += orders;
      const row = await measure(ports, requests, connections, pids);
      failed += row.errors;
      if (warmUp) continue;
      rows.push(row);
      if (values.json) console.log(JSON.stringify(row));
      console.error(`  ${row.name} at ${connections}: ${row.per_second}/s, p50 ${row.p50_ms} ms, p99 ${row.p99_ms} ms`);
    }
    if (!values.json) console.log(table(rows));
    const [{ paid }] = await admin.query(`SELECT COUNT(*) AS paid FROM payment_orders WHERE status = ${PAID}`, { type: QueryTypes.SELECT });
    const [{ points }] = await admin.query('SELECT CAST(SUM(available_points) AS SIGNED) AS points FROM user_points', { type: QueryTypes.SELECT });
    const [{ kept }] = await admin.query('SELECT COUNT(*) AS kept FROM points_records', { type: QueryTypes.SELECT });
    const each = Math.floor(AMOUNT_FEN / 100);
    if (paid + failed < count || points !== paid * each || kept !== paid) {
      throw new Error(`${count} callbacks, ${failed} not answered 204: ${paid} orders are paid, ${points} points, ${kept} records`);
    }
  } finally {
    for (const service of services) service.kill('SIGTERM');
    rmSync(folder, { recursive: true, force: true });
    await admin.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
