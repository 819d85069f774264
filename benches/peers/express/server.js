'use strict';
// A payment is settled as the foundation's first design describes it: Express takes WeChat's
// callback, verifies and decrypts it, and one Sequelize transaction marks the order as paid, gives
// the points and keeps the record of them. README.md says what is left out.
//
// Settings: PORT, DATABASE_SOCKET, DATABASE_NAME, POOL (connections), KEYS (the file of keys.js).

const { createDecipheriv, createPublicKey, randomUUID, verify } = require('node:crypto');
const { readFileSync } = require('node:fs');
const express = require('express');
const Joi = require('joi');
const winston = require('winston');
const { connect, models, PAID } = require('./database');

const keys = JSON.parse(readFileSync(process.env.KEYS, 'utf8'));
const publicKey = createPublicKey(keys.publicKey);
const log = winston.createLogger({ level: 'warn', transports: [new winston.transports.Console()] });
const sequelize = connect(Number(process.env.POOL || 16));
const { PaymentOrder, PointsRecord, UserPoints } = models(sequelize);

const POINTS_PER_YUAN = 1;
const EXPIRE_DAYS = 365;

const callback = Joi.object({
  out_trade_no: Joi.string().min(6).max(32).required(),
  transaction_id: Joi.string().max(64).required(),
  trade_state: Joi.string().valid('SUCCESS').required(),
  success_time: Joi.date().iso().required(),
  amount: Joi.object({
    total: Joi.number().integer().min(1).required(),
    currency: Joi.string().valid('CNY').required(),
  }).unknown().required(),
}).unknown();

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function open(request) {
  const timestamp = request.get('wechatpay-timestamp');
  const nonce = request.get('wechatpay-nonce');
  const signature = Buffer.from(request.get('wechatpay-signature') || '', 'base64');
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) {
    throw new Refused(401, 'the time is more than five minutes away');
  }
  const message = Buffer.concat([Buffer.from(`${timestamp}\n${nonce}\n`), request.body, Buffer.from('\n')]);
  if (!verify('RSA-SHA256', message, publicKey, signature)) {
    throw new Refused(401, 'the signature is wrong');
  }
  const { resource } = JSON.parse(request.body.toString('utf8'));
  const sealed = Buffer.from(resource.ciphertext, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', keys.apiv3Key, resource.nonce);
  decipher.setAAD(Buffer.from(resource.associated_data));
  decipher.setAuthTag(sealed.subarray(sealed.length - 16));
  const plain = Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - 16)), decipher.final()]);
  const { value, error } = callback.validate(JSON.parse(plain.toString('utf8')));
  if (error) throw new Refused(400, error.message);
  return value;
}

async function settle(paid) {
  await sequelize.transaction(async (transaction) => {
    const order = await PaymentOrder.findOne({
      where: { order_no: paid.out_trade_no },
      transaction,
      lock: transaction.LOCK.UPDATE,
    });
    if (!order) throw new Refused(404, 'no such order');
    if (Math.round(Number(order.amount) * 100) !== paid.amount.total) throw new Refused(400, 'another amount');
    if (order.status === PAID) return;
    await order.update(
      { status: PAID, wechat_transaction_id: paid.transaction_id, paid_at: paid.success_time },
      { transaction },
    );
    const points = Math.floor(paid.amount.total / 100) * POINTS_PER_YUAN;
    const account = await UserPoints.findByPk(order.user_id, {
      transaction,
      lock: transaction.LOCK.UPDATE,
    });
    await account.update(
      {
        total_points: account.total_points + points,
        available_points: account.available_points + points,
      },
      { transaction },
    );
    await PointsRecord.create(
      {
        id: randomUUID(),
        user_id: order.user_id,
        order_id: order.id,
        points_change: points,
        points_balance: account.available_points,
        change_type: 1,
        source: 'payment',
        description: paid.out_trade_no,
        expires_at: new Date(Date.now() + EXPIRE_DAYS * 86_400_000),
      },
      { transaction },
    );
  });
}

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.post('/api/payment/callback', express.raw({ type: 'application/json' }), async (request, response) => {
  await settle(open(request));
  response.status(204).end();
});
app.get('/healthz', async (_request, response) => {
  await sequelize.authenticate();
  response.status(200).send('ok');
});
// eslint-disable-next-line no-unused-vars -- Express knows it by its four parameters
app.use((error, _request, response, _next) => {
  if (!(error instanceof Refused)) log.error(`${error.name}: ${error.message}`);
  response.status(error.status || 500).json({ code: 'FAIL', message: error.message });
});

const server = app.listen(Number(process.env.PORT), '127.0.0.1');
server.keepAliveTimeout = 75_000;
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  sequelize.close();
});
