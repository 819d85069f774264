#!/usr/bin/env node
// Another SDK that nobody here wrote, as the merchant of the simulated WeChat Pay.
//
// npm's `wechatpay-axios-plugin` uses Node's OpenSSL. It is the strictest client there is: it refuses
// an answer without all four headers, of an unknown serial, or more than five minutes off. Its own
// reader of bills judges ours.
//
// Environment:
//   WECHAT_PAY__*         as in the simulator's `wechat.env`; or
//   SIMULATOR_ENV_FILE    the path of that file
//   SIMULATOR_WAIT        seconds to wait for a callback, 60 unless told otherwise
//   NODE_PATH             where Node looks for the package, if not beside this file
//
// Prints one line per step. Exits 0 if all held, 1 if not, 77 if the package is not installed.

'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const zlib = require('node:zlib');

let sdk;
try {
  sdk = require('wechatpay-axios-plugin');
} catch (error) {
  if (error.code !== 'MODULE_NOT_FOUND') throw error;
  console.log('skip: wechatpay-axios-plugin is not installed');
  process.exit(77);
}
const { Wechatpay, Rsa, Aes, Formatter } = sdk;

const PREFIX = 'WECHAT_PAY__';
const SUB_MCHID = '1900000109';
const DESCRIPTION = '面馆 & 茶, "大"';
const ATTACH = '{"table":4,"dishes":["a","b"]}';
const WAIT_MS = 1000 * Number(process.env.SIMULATOR_WAIT || 60);

function settings() {
  const found = { ...process.env };
  if (process.env.SIMULATOR_ENV_FILE) {
    for (const line of fs.readFileSync(process.env.SIMULATOR_ENV_FILE, 'utf8').split('\n')) {
      const at = line.indexOf('=');
      if (at > 0) found[line.slice(0, at).trim()] = line.slice(at + 1).trim();
    }
  }
  const own = Object.entries(found).filter(([key]) => key.startsWith(PREFIX));
  return Object.fromEntries(own.map(([key, value]) => [key.slice(PREFIX.length), value]));
}

const SETTINGS = settings();
const secret = (name) => fs.readFileSync(SETTINGS[name], 'utf8').trim();
const APIV3_KEY = secret('APIV3_KEY_FILE');
const number = () => `ND-${crypto.randomBytes(12).toString('hex')}`;

const failed = [];
function step(name, good, said) {
  const why = said === undefined ? '' : `: ${typeof said === 'string' ? said : JSON.stringify(said)}`;
  console.log(`${good ? 'ok  ' : 'FAIL'} ${name}${good ? '' : why}`);
  if (!good) failed.push(name);
}

// What WeChat refuses, the SDK throws.
async function outcome(promise) {
  try {
    const { status, data } = await promise;
    return { status, data };
  } catch (error) {
    if (!error.response) throw error;
    return { status: error.response.status, data: error.response.data };
  }
}

async function until(ask, good) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const answer = await ask();
    if (good(answer) || Date.now() > end) return answer;
    await new Promise((resume) => { setTimeout(resume, 50); });
  }
}

async function control(method, path, body) {
  const answer = await fetch(SETTINGS.PAY_URL + path, {
    method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
  });
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

// The merchant's notify_url, out of the SDK's own parts.
class Receiver {
  constructor(keys) {
    this.keys = keys;
    this.heard = [];
    this.server = http.createServer((request, answer) => {
      const parts = [];
      request.on('data', (part) => parts.push(part));
      request.on('end', () => {
        const told = this.read(request.headers, Buffer.concat(parts).toString());
        this.heard.push(told);
        answer.writeHead(told ? 204 : 401).end();
      });
    });
  }

  read(headers, body) {
    const key = this.keys[headers['wechatpay-serial']];
    const { 'wechatpay-timestamp': time, 'wechatpay-nonce': nonce } = headers;
    if (!key || Math.abs(Formatter.timestamp() - time) > 300) return null;
    try {
      if (!Rsa.verify(Formatter.response(time, nonce, body), headers['wechatpay-signature'], key)) return null;
      const { event_type: event, resource } = JSON.parse(body);
      const { ciphertext, nonce: iv, associated_data: aad } = resource;
      return { event, plain: JSON.parse(Aes.AesGcm.decrypt(ciphertext, APIV3_KEY, iv, aad)) };
    } catch {
      return null;
    }
  }

  async listen() {
    await new Promise((ready) => { this.server.listen(0, '127.0.0.1', ready); });
    return `http://127.0.0.1:${this.server.address().port}/notify`;
  }

  // What came up to the first genuine callback: how many refused, and it.
  async genuine() {
    const at = await until(() => this.heard.findIndex(Boolean), (found) => found >= 0);
    if (at < 0) return { refused: this.heard.length, told: null };
    const [told] = this.heard.splice(0, at + 1).slice(-1);
    return { refused: at, told };
  }
}

async function main() {
  const publicKey = Rsa.from(secret('PUBLIC_KEY_FILE'), Rsa.KEY_TYPE_PUBLIC);
  const certificate = Rsa.from(secret('PLATFORM_CERTIFICATE_FILE'), Rsa.KEY_TYPE_PUBLIC);
  const serial = new crypto.X509Certificate(secret('PLATFORM_CERTIFICATE_FILE')).serialNumber;
  const keys = { [SETTINGS.PUBLIC_KEY_ID]: publicKey, [serial]: certificate };
  const receiver = new Receiver(keys);
  const notifyUrl = await receiver.listen();
  const login = new URLSearchParams({
    appid: SETTINGS.APP_ID, secret: secret('APP_SECRET_FILE'), js_code: 'sim-node-peer', grant_type: 'authorization_code',
  });
  const { openid } = await (await fetch(`${SETTINGS.MINI_PROGRAM_URL}/sns/jscode2session?${login}`)).json();

  for (const [mode, named] of [['public key', SETTINGS.PUBLIC_KEY_ID], ['platform certificate', serial]]) {
    await control('PUT', '/sim/faults', { callback_key: named === serial ? 'certificate' : 'public_key' });
    const wxpay = new Wechatpay({
      mchid: SETTINGS.SP_MCHID,
      serial: SETTINGS.MERCHANT_SERIAL,
      privateKey: secret('PRIVATE_KEY_FILE'),
      // Only the key that is asked for: an answer signed by the other one would be refused.
      certs: { [named]: keys[named] },
      baseURL: `${SETTINGS.PAY_URL}/`,
      headers: { 'Wechatpay-Serial': named },
    });
    const orders = wxpay.v3.pay.partner.transactions;
    const owner = { sp_mchid: SETTINGS.SP_MCHID, sub_mchid: SUB_MCHID };
    const outTradeNo = number();
    const order = {
      ...owner,
      sp_appid: SETTINGS.APP_ID,
      description: DESCRIPTION,
      out_trade_no: outTradeNo,
      notify_url: notifyUrl,
      attach: ATTACH,
      amount: { total: 1280, currency: 'CNY' },
      payer: { sp_openid: openid },
    };
    let said = await outcome(wxpay.v3.certificates.get());
    const [{ encrypt_certificate: sealed, serial_no: listed }] = said.data.data;
    const pem = Aes.AesGcm.decrypt(sealed.ciphertext, APIV3_KEY, sealed.nonce, sealed.associated_data);
    const same = new crypto.X509Certificate(pem).serialNumber === serial && listed === serial;
    step(`${mode}: /v3/certificates decrypts to the certificate`, said.status === 200 && same, said);

    said = await outcome(orders.jsapi.post(order));
    const prepayId = said.data.prepay_id;
    step(`${mode}: prepay`, said.status === 200 && prepayId.startsWith('wx'), said);
    said = await outcome(orders.jsapi.post({ ...order, amount: { total: 1281, currency: 'CNY' } }));
    step(`${mode}: another amount is refused`, said.status === 400 && said.data.code === 'INVALID_REQUEST', said);
    said = await outcome(orders.outTradeNo.$number$.get({ params: owner, number: outTradeNo }));
    step(`${mode}: query says NOTPAY`, said.data.trade_state === 'NOTPAY', said);

    const faults = ['tampered', 'wrong_key', 'probe', 'stale_time', 'future_time'];
    const paid = await control('POST', '/sim/pay', { prepay_id: prepayId, openid, faults });
    const { refused, told } = await receiver.genuine();
    step(`${mode}: ${faults.length} forged callbacks are refused`, refused === faults.length, refused);
    const plain = told ? told.plain : {};
    const asAgreed = plain.transaction_id === paid.transaction_id && plain.amount.total === 1280 && plain.attach === ATTACH;
    step(`${mode}: the genuine callback follows`, asAgreed, told);
    said = await outcome(orders.id.$number$.get({ params: owner, number: paid.transaction_id }));
    const agrees = JSON.stringify(said.data) === JSON.stringify(plain);
    step(`${mode}: query by id agrees with the callback`, agrees, said);
    said = await outcome(orders.outTradeNo.$number$.close.post(owner, { number: outTradeNo }));
    step(`${mode}: a paid order is not closed`, said.data.code === 'ORDERPAID', said);

    const refund = {
      sub_mchid: SUB_MCHID,
      out_trade_no: outTradeNo,
      out_refund_no: `R${outTradeNo}`,
      notify_url: notifyUrl,
      amount: { refund: 480, total: 1280, currency: 'CNY' },
    };
    const refunds = wxpay.v3.refund.domestic.refunds;
    said = await outcome(refunds.post(refund));
    step(`${mode}: refund`, said.status === 200 && said.data.amount.refund === 480, said);
    said = await until(
      () => outcome(refunds.$number$.get({ params: { sub_mchid: SUB_MCHID }, number: refund.out_refund_no })),
      ({ data }) => data.status === 'SUCCESS',
    );
    step(`${mode}: the refund succeeds`, said.data.status === 'SUCCESS', said);
    const { told: back } = await receiver.genuine();
    const toldOf = back && back.event === 'REFUND.SUCCESS' && back.plain.out_refund_no === refund.out_refund_no;
    step(`${mode}: the refund's callback verifies and decrypts`, toldOf, back);

    await control('PUT', '/sim/bills', { ready_at_once: true });
    const today = new Date(Date.now() + 8 * 3600 * 1000).toISOString().slice(0, 10);
    for (const packing of [{ tar_type: 'GZIP' }, {}]) {
      const kind = packing.tar_type || 'plain';
      said = await outcome(wxpay.v3.bill.tradebill.get({ params: { bill_date: today, sub_mchid: SUB_MCHID, ...packing } }));
      const url = new URL(said.data.download_url);
      const at = url.origin === new URL(SETTINGS.PAY_URL).origin;
      const params = Object.fromEntries(url.searchParams);
      const file = await wxpay.v3.billdownload.file.get({ params, responseType: 'arraybuffer' });
      const data = packing.tar_type ? zlib.gunzipSync(file.data) : Buffer.from(file.data);
      const hash = crypto.createHash('sha1').update(data).digest('hex');
      step(`${mode}: bill ${kind}: address and hash`, at && hash === said.data.hash_value, said);
      const { rows, summary } = Formatter.castCsvBill(data);
      const mine = rows.filter((row) => row['商户订单号'] === outTradeNo);
      const of = (state) => mine.find((row) => row['交易状态'] === state) || {};
      const good = mine.length === 2
        && of('SUCCESS')['商品名称'] === DESCRIPTION
        && of('SUCCESS')['商户数据包'] === ATTACH
        && of('SUCCESS')['手续费'] === '0.08000'
        && of('REFUND')['申请退款金额'] === '4.80'
        && of('REFUND')['手续费'] === '-0.03000'
        && Number(summary['总交易单数']) === rows.length;
      step(`${mode}: bill ${kind}: read by the SDK`, good, mine);
    }
    await control('PUT', '/sim/bills', {});

    const unpaid = number();
    await orders.jsapi.post({ ...order, out_trade_no: unpaid });
    said = await outcome(orders.outTradeNo.$number$.close.post(owner, { number: unpaid }));
    step(`${mode}: close`, said.status === 204, said);
    said = await outcome(orders.outTradeNo.$number$.get({ params: owner, number: unpaid }));
    step(`${mode}: query says CLOSED`, said.data.trade_state === 'CLOSED', said);
  }
  await control('PUT', '/sim/faults', {});
  receiver.server.close();
  receiver.server.closeAllConnections();
  const count = failed.length ? `${failed.length} failed` : 'all held';
  console.log(`wechatpay-axios-plugin ${require('wechatpay-axios-plugin/package.json').version}: ${count}`);
  return failed.length ? 1 : 0;
}

main().then(
  (code) => { process.exitCode = code; },
  (error) => { console.log(`FAIL ${error.stack}`); process.exit(1); },
);
