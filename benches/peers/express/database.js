'use strict';
// The tables of the design, column by column, and their models.

const { Sequelize, DataTypes } = require('sequelize');

/** `payment_orders.status` */
const PAID = 1;

const TABLES = [
  `CREATE TABLE users (
    id VARCHAR(36) PRIMARY KEY,
    wechat_id VARCHAR(64) UNIQUE NOT NULL,
    nickname VARCHAR(100),
    avatar VARCHAR(500),
    phone VARCHAR(20),
    status TINYINT DEFAULT 1,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    INDEX idx_wechat_id (wechat_id),
    INDEX idx_phone (phone)
  )`,
  `CREATE TABLE merchants (
    id VARCHAR(36) PRIMARY KEY,
    merchant_name VARCHAR(200) NOT NULL,
    contact_name VARCHAR(100),
    contact_phone VARCHAR(20),
    business_license VARCHAR(100),
    address VARCHAR(500),
    status TINYINT DEFAULT 1,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    INDEX idx_merchant_name (merchant_name),
    INDEX idx_contact_phone (contact_phone)
  )`,
  `CREATE TABLE payment_orders (
    id VARCHAR(36) PRIMARY KEY,
    order_no VARCHAR(32) UNIQUE NOT NULL,
    user_id VARCHAR(36) NOT NULL,
    merchant_id VARCHAR(36) NOT NULL,
    amount DECIMAL(10,2) NOT NULL,
    status TINYINT DEFAULT 0,
    payment_method VARCHAR(20) DEFAULT 'wechat',
    wechat_transaction_id VARCHAR(64),
    paid_at TIMESTAMP NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    INDEX idx_order_no (order_no),
    INDEX idx_user_id (user_id),
    INDEX idx_merchant_id (merchant_id),
    INDEX idx_status (status),
    INDEX idx_created_at (created_at)
  )`,
  `CREATE TABLE points_records (
    id VARCHAR(36) PRIMARY KEY,
    user_id VARCHAR(36) NOT NULL,
    order_id VARCHAR(36),
    points_change INT NOT NULL,
    points_balance INT NOT NULL,
    change_type TINYINT NOT NULL,
    source VARCHAR(50),
    description VARCHAR(200),
    expires_at TIMESTAMP NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    INDEX idx_user_id (user_id),
    INDEX idx_order_id (order_id),
    INDEX idx_change_type (change_type),
    INDEX idx_expires_at (expires_at),
    INDEX idx_created_at (created_at)
  )`,
  `CREATE TABLE user_points (
    user_id VARCHAR(36) PRIMARY KEY,
    total_points INT DEFAULT 0,
    available_points INT DEFAULT 0,
    used_points INT DEFAULT 0,
    expired_points INT DEFAULT 0,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    INDEX idx_available_points (available_points)
  )`,
];

/** Settings: DATABASE_SOCKET, DATABASE_NAME, DATABASE_USER. */
function connect(connections) {
  return new Sequelize(process.env.DATABASE_NAME, process.env.DATABASE_USER || 'root', '', {
    dialect: 'mysql',
    dialectOptions: { socketPath: process.env.DATABASE_SOCKET },
    logging: false,
    pool: { max: connections, min: connections, acquire: 60_000 },
  });
}

function models(sequelize) {
  const options = (tableName, created) => ({
    tableName,
    createdAt: created ? 'created_at' : false,
    updatedAt: created === 'both' || !created ? 'updated_at' : false,
  });
  // Each model writes into what it is given.
  const id = () => ({ type: DataTypes.STRING(36), primaryKey: true });
  const counted = () => ({ type: DataTypes.INTEGER, defaultValue: 0 });
  return {
    PaymentOrder: sequelize.define(
      'PaymentOrder',
      {
        id: id(),
        order_no: { type: DataTypes.STRING(32), unique: true, allowNull: false },
        user_id: { type: DataTypes.STRING(36), allowNull: false },
        merchant_id: { type: DataTypes.STRING(36), allowNull: false },
        amount: { type: DataTypes.DECIMAL(10, 2), allowNull: false },
        status: { type: DataTypes.TINYINT, defaultValue: 0 },
        payment_method: { type: DataTypes.STRING(20), defaultValue: 'wechat' },
        wechat_transaction_id: DataTypes.STRING(64),
        paid_at: DataTypes.DATE,
      },
      options('payment_orders', 'both'),
    ),
    PointsRecord: sequelize.define(
      'PointsRecord',
      {
        id: id(),
        user_id: { type: DataTypes.STRING(36), allowNull: false },
        order_id: DataTypes.STRING(36),
        points_change: { type: DataTypes.INTEGER, allowNull: false },
        points_balance: { type: DataTypes.INTEGER, allowNull: false },
        change_type: { type: DataTypes.TINYINT, allowNull: false },
        source: DataTypes.STRING(50),
        description: DataTypes.STRING(200),
        expires_at: DataTypes.DATE,
      },
      options('points_records', 'once'),
    ),
    UserPoints: sequelize.define(
      'UserPoints',
      {
        user_id: id(),
        total_points: counted(),
        available_points: counted(),
        used_points: counted(),
        expired_points: counted(),
      },
      options('user_points', ''),
    ),
  };
}

module.exports = { connect, models, PAID, TABLES };
