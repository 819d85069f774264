#!/usr/bin/env python3
"""An SDK that nobody here wrote, as the merchant of the simulated WeChat Pay.

PyPI's `wechatpayv3` signs with Python's `cryptography`, so it shares no code with the simulator:
where the two agree, it is evidence.

Environment:
  WECHAT_PAY__*         as in the simulator's `wechat.env`; or
  SIMULATOR_ENV_FILE    the path of that file
  SIMULATOR_WAIT        seconds to wait for a callback, 60 unless told otherwise. Spoiled callbacks
                        take the first places of the re-send schedule: compress it, by about 100,
                        so that the minute before a share may be asked for is still noticed.

Prints one line per step. Exits 0 if all held, 1 if not, 77 if `wechatpayv3` is not installed.
"""

import csv
import datetime
import gzip
import hashlib
import http.server
import io
import json
import os
import queue
import sys
import threading
import time
import urllib.request
import uuid

try:
    import wechatpayv3
    import wechatpayv3.core
    from wechatpayv3 import SignType, WeChatPay, WeChatPayType
except ImportError as error:
    print(f"skip: wechatpayv3 is not importable ({error})")
    sys.exit(77)

REAL = "https://api.mch.weixin.qq.com"
SUB_MCHID = "1900000109"
# Free text as it breaks bills that are split at commas.
DESCRIPTION = '面馆 & 茶, "大"'
ATTACH = '{"table":4,"dishes":["a","b"]}'
WAIT = float(os.environ.get("SIMULATOR_WAIT", "60"))


def settings():
    """The simulator's settings, by their names after the prefix."""
    found = dict(os.environ)
    path = os.environ.get("SIMULATOR_ENV_FILE")
    if path:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                key, _, value = line.strip().partition("=")
                found[key] = value
    prefix = "WECHAT_PAY__"
    return {key[len(prefix) :]: value for key, value in found.items() if key.startswith(prefix)}


SETTINGS = settings()
BASE = SETTINGS["PAY_URL"]


def secret(name):
    with open(SETTINGS[name], encoding="utf-8") as file:
        return file.read().strip()


class Redirected:
    """`requests` for the SDK, which knows no other host than WeChat's. The host is not signed."""

    def __init__(self, inner):
        self.inner = inner

    def get(self, url, **rest):
        return self.inner.get(url.replace(REAL, BASE), **rest)

    def post(self, url, **rest):
        return self.inner.post(url.replace(REAL, BASE), **rest)


wechatpayv3.core.requests = Redirected(wechatpayv3.core.requests)

FAILED = []


def step(name, good, said=""):
    print(f"{'ok  ' if good else 'FAIL'} {name}" + (f": {said}" if said and not good else ""), flush=True)
    if not good:
        FAILED.append(name)
    return good


def client(notify_url, public_key):
    """Without the public key the SDK pulls the platform certificate before it does anything."""
    mode = {"public_key": secret("PUBLIC_KEY_FILE"), "public_key_id": SETTINGS["PUBLIC_KEY_ID"]}
    return WeChatPay(
        wechatpay_type=WeChatPayType.MINIPROG,
        mchid=SETTINGS["SP_MCHID"],
        private_key=secret("PRIVATE_KEY_FILE"),
        cert_serial_no=SETTINGS["MERCHANT_SERIAL"],
        apiv3_key=secret("APIV3_KEY_FILE"),
        appid=SETTINGS["APP_ID"],
        notify_url=notify_url,
        partner_mode=True,
        timeout=(5, 10),
        **(mode if public_key else {}),
    )


class Receiver:
    """The merchant's notify_url. The SDK judges; what it does not accept is answered with 401."""

    def __init__(self):
        self.client = None
        self.heard = queue.Queue()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    told = receiver.client.callback(self.headers, body)
                except Exception as error:  # the SDK raises on a probe's or a changed body's form
                    told, why = None, repr(error)
                else:
                    why = "refused"
                receiver.heard.put((self.headers["Wechatpay-Serial"], told, why))
                self.send_response(204 if told else 401)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/notify"

    def genuine(self):
        """What came up to the first callback that the SDK accepts: how many refused, and it."""
        refused, until = 0, time.monotonic() + WAIT
        while time.monotonic() < until:
            try:
                serial, told, _ = self.heard.get(timeout=max(0.1, until - time.monotonic()))
            except queue.Empty:
                break
            if told:
                return refused, serial, told
            refused += 1
        return refused, None, None


def control(method, path, body):
    request = urllib.request.Request(
        BASE + path,
        method=method,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or "null")


def openid():
    login = (
        f"{SETTINGS['MINI_PROGRAM_URL']}/sns/jscode2session?appid={SETTINGS['APP_ID']}"
        f"&secret={secret('APP_SECRET_FILE')}&js_code=sim-python-peer&grant_type=authorization_code"
    )
    with urllib.request.urlopen(login, timeout=10) as answer:
        return json.loads(answer.read())["openid"]


def until(ask, good):
    """Asks again until the answer is good or the time is over; the last answer."""
    end = time.monotonic() + WAIT
    while True:
        answer = ask()
        if good(answer) or time.monotonic() > end:
            return answer
        time.sleep(0.05)


def today():
    """The day in Beijing, where bills are made."""
    return datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=8))).date().isoformat()


def bill(pay, applied):
    """Downloads what was applied for, checks its hash and takes it apart: lines by their header."""
    code, body = applied
    told = json.loads(body)
    if code != 200:
        return told, None, None
    # The SDK knows no other host than WeChat's, and would not recognise the address as its own.
    pay._core._gate_way = BASE
    code, data = pay.download_bill(told["download_url"])
    pay._core._gate_way = REAL
    if code != 200:
        return data, None, None
    data = gzip.decompress(data) if "tartype=gzip" in told["download_url"] else data
    if told["hash_type"] != "SHA1" or hashlib.sha1(data).hexdigest() != told["hash_value"]:
        return "the hash is wrong", None, None
    text = data.decode("utf-8")
    if not text.startswith("\ufeff") or not text.endswith("\r\n"):
        return "no byte order mark or no end of the line", None, None
    lines = text[1:-2].split("\r\n")
    # Headers are ordinary CSV; a value begins behind a backtick, whatever is in it.
    headers = [n for n, line in enumerate(lines) if not line.startswith("`")]
    head, tail = (next(csv.reader(io.StringIO(lines[n]))) for n in headers)
    rows = [dict(zip(head, line[1:].split(",`"), strict=True)) for line in lines[1 : headers[1]]]
    summary = dict(zip(tail, lines[headers[1] + 1][1:].split(",`"), strict=True))
    return None, rows, summary


def refunds(pay, mode, receiver, number, transaction_id):
    """A part goes back, is told of, and is in the bill."""
    control("PUT", "/sim/bills", {"ready_at_once": True})
    refund = dict(
        out_refund_no="R" + number,
        amount={"refund": 480, "total": 1280, "currency": "CNY"},
        out_trade_no=number,
        reason="凉了",
        sub_mchid=SUB_MCHID,
    )
    code, body = pay.refund(**refund)
    told = json.loads(body)
    good = code == 200 and told.get("transaction_id") == transaction_id
    step(f"{mode}: refund", good and told["status"] in ("PROCESSING", "SUCCESS"), body)
    code, body = pay.refund(**refund)
    same = code == 200 and json.loads(body)["refund_id"] == told.get("refund_id")
    step(f"{mode}: the same refund again is the same refund", same, body)
    code, body = pay.refund(**{**refund, "amount": {"refund": 481, "total": 1280, "currency": "CNY"}})
    step(f"{mode}: another amount under its number is refused", code == 400, body)
    ask = lambda: pay.query_refund(out_refund_no="R" + number, sub_mchid=SUB_MCHID)
    code, body = until(ask, lambda said: json.loads(said[1]).get("status") == "SUCCESS")
    step(f"{mode}: the refund succeeds", code == 200 and json.loads(body)["status"] == "SUCCESS", body)
    _, _, heard = receiver.genuine()
    plain = (heard or {}).get("resource", {})
    told_of = (
        (heard or {}).get("event_type") == "REFUND.SUCCESS"
        and plain.get("out_refund_no") == "R" + number
        and plain.get("refund_status") == "SUCCESS"
        and plain.get("amount", {}).get("refund") == 480
    )
    step(f"{mode}: the refund's callback verifies and decrypts", told_of, heard)

    for tar_type in ("GZIP", ""):
        applied = pay.trade_bill(bill_date=today(), tar_type=tar_type, sub_mchid=SUB_MCHID)
        wrong, rows, summary = bill(pay, applied)
        mine = [row for row in rows or [] if row["商户订单号"] == number]
        by_state = {row["交易状态"]: row for row in mine}
        paid, back = by_state.get("SUCCESS", {}), by_state.get("REFUND", {})
        good = (
            len(mine) == 2
            and paid["微信订单号"] == transaction_id
            and paid["订单金额"] == "12.80"
            and paid["手续费"] == "0.08000"
            and paid["商品名称"] == DESCRIPTION
            and paid["商户数据包"] == ATTACH
            and back["申请退款金额"] == "4.80"
            and back["商户退款单号"] == "R" + number
            and back["手续费"] == "-0.03000"
            and int(summary["总交易单数"]) == len(rows)
        )
        step(f"{mode}: trade bill {tar_type or 'plain'}", good, wrong or mine)
    control("PUT", "/sim/bills", {})
    code, body = pay.trade_bill(bill_date=today(), sub_mchid=SUB_MCHID)
    step(f"{mode}: today's bill is not ready otherwise", code == 400 and "STATEMENT_CREATING" in body, body)


def sharing(pay, mode, order):
    """A share of a frozen order goes to the service provider, and the rest is unfrozen."""
    own = SETTINGS["SP_MCHID"]
    number = "PY-" + uuid.uuid4().hex[:24]
    pay.pay(**{**order, "out_trade_no": number, "settle_info": {"profit_sharing": True}})
    id = control("POST", "/sim/pay", {"out_trade_no": number, "faults": ["lost"]})["transaction_id"]
    receiver = dict(account_type="MERCHANT_ID", account=own, relation_type="SERVICE_PROVIDER")
    code, body = pay.profitsharing_add_receiver(name="面馆平台", sub_mchid=SUB_MCHID, **receiver)
    step(f"{mode}: a receiver's encrypted name is read", code == 200, body)
    share = dict(
        transaction_id=id,
        out_order_no="S" + number,
        unfreeze_unsplit=True,
        sub_mchid=SUB_MCHID,
    )
    receivers = lambda: [{"type": "MERCHANT_ID", "account": own, "amount": 100, "description": "服务费"}]
    ask = lambda: pay.profitsharing_order(receivers=receivers(), **share)
    code, body = ask()
    early = code == 400 and "INVALID_REQUEST" in body
    step(f"{mode}: a share within the first minute is refused", early, body)
    code, body = until(ask, lambda said: said[0] == 200)
    step(f"{mode}: share", code == 200 and json.loads(body).get("out_order_no") == "S" + number, body)
    ask = lambda: pay.profitsharing_order_query(
        transaction_id=id, out_order_no="S" + number, sub_mchid=SUB_MCHID
    )
    code, body = until(ask, lambda said: json.loads(said[1]).get("state") == "FINISHED")
    got = {part["account"]: part for part in json.loads(body).get("receivers", [])}
    good = got.get(own, {}).get("result") == "SUCCESS" and got.get(SUB_MCHID, {}).get("amount") == 1172
    step(f"{mode}: the share is finished and the rest unfrozen", good, body)
    code, body = pay.profitsharing_amount_query(transaction_id=id)
    step(f"{mode}: nothing is left", code == 200 and json.loads(body)["unsplit_amount"] == 0, body)
    code, body = pay.profitsharing_config_query(SUB_MCHID)
    step(f"{mode}: the ratio", code == 200 and json.loads(body)["max_ratio"] == 3000, body)

    control("PUT", "/sim/bills", {"ready_at_once": True})
    wrong, rows, summary = bill(pay, pay.fundflow_bill(bill_date=today()))
    mine = [row for row in rows or [] if row["业务凭证号"] == "S" + number]
    good = [(row["收支类型"], row["收支金额(元)"]) for row in mine] == [("收入", "1.00")]
    step(f"{mode}: fund-flow bill", good and int(summary["收入笔数"]) == len(rows), wrong or rows)
    control("PUT", "/sim/bills", {})


def main():
    receiver = Receiver()
    payer = openid()
    step("login gives an openid of 28 characters", len(payer) == 28, payer)

    for mode in ("platform certificate", "public key"):
        public = mode == "public key"
        # A merchant of the old kind knows no public key: WeChat signs its callbacks by certificate.
        control("PUT", "/sim/faults", {"callback_key": "public_key" if public else "certificate"})
        pay = receiver.client = client(receiver.url, public)
        if not public:
            serials = [f"{c.serial_number:040X}" for c in pay._core._certificates]
            step(f"{mode}: /v3/certificates decrypts to a valid certificate", len(serials) == 1, serials)
        number = "PY-" + uuid.uuid4().hex[:24]
        order = dict(
            description=DESCRIPTION,
            out_trade_no=number,
            amount={"total": 1280, "currency": "CNY"},
            payer={"sp_openid": payer},
            attach=ATTACH,
            sub_mchid=SUB_MCHID,
        )
        code, body = pay.pay(**order)
        first = json.loads(body).get("prepay_id", "")
        step(f"{mode}: prepay", code == 200 and first.startswith("wx"), body)
        code, body = pay.pay(**order)
        again = json.loads(body).get("prepay_id", first)
        step(f"{mode}: the same prepay again gives a fresh id", code == 200 and again != first, body)
        code, body = pay.pay(**{**order, "amount": {"total": 1281}})
        step(f"{mode}: another amount is refused", code == 400 and "INVALID_REQUEST" in body, body)
        code, body = pay.query(out_trade_no=number, sub_mchid=SUB_MCHID)
        step(f"{mode}: query says NOTPAY", code == 200 and json.loads(body)["trade_state"] == "NOTPAY", body)

        # The request-payment signature, made by the SDK, is the client's business: the phone page
        # verifies the service's. Here it only has to be makeable.
        signed = pay.sign([SETTINGS["APP_ID"], "1", "n", "prepay_id=" + first], SignType.RSA_SHA256)
        step(f"{mode}: paySign", len(signed) == 344, signed)

        forgeries = ["tampered", "wrong_key", "probe"]
        paid = control("POST", "/sim/pay", {"prepay_id": again, "openid": payer, "faults": forgeries})
        refused, serial, told = receiver.genuine()
        step(f"{mode}: {len(forgeries)} forged callbacks are refused", refused == len(forgeries), refused)
        plain = (told or {}).get("resource", {})
        same = (
            plain.get("out_trade_no") == number
            and plain.get("transaction_id") == paid["transaction_id"]
            and plain.get("amount", {}).get("total") == 1280
            and plain.get("attach") == ATTACH
            and plain.get("sub_mchid") == SUB_MCHID
            and plain.get("payer", {}).get("sp_openid") == payer
        )
        step(f"{mode}: the genuine callback follows, verifies and decrypts", same, told)
        code, body = pay.query(transaction_id=paid["transaction_id"], sub_mchid=SUB_MCHID)
        step(f"{mode}: query by id agrees with the callback", code == 200 and json.loads(body) == plain, body)
        code, body = pay.pay(**order)
        step(f"{mode}: a paid order is refused", code != 200 and "ORDERPAID" in body, body)
        code, body = pay.close(out_trade_no=number, sub_mchid=SUB_MCHID)
        step(f"{mode}: a paid order is not closed", code != 204 and "ORDERPAID" in str(body), body)

        refunds(pay, mode, receiver, number, paid["transaction_id"])
        sharing(pay, mode, order)

        number = "PY-" + uuid.uuid4().hex[:24]
        pay.pay(**{**order, "out_trade_no": number})
        for time_of in ("once", "again"):
            code, body = pay.close(out_trade_no=number, sub_mchid=SUB_MCHID)
            step(f"{mode}: close {time_of}", code == 204, body)
        code, body = pay.query(out_trade_no=number, sub_mchid=SUB_MCHID)
        step(f"{mode}: query says CLOSED", code == 200 and json.loads(body)["trade_state"] == "CLOSED", body)

    # A certificate is rotated: the old client meets a serial that it has to fetch.
    old = client(receiver.url, False)
    keys = control("PUT", "/sim/keys", {"rotate_certificate": True, "next_certificate": 1000})
    code, body = old.query(out_trade_no=number, sub_mchid=SUB_MCHID)
    known = len(old._core._certificates)
    good = code == 200 and len(keys["certificates"]) == 2 and known == 2
    step("a second platform certificate is fetched and verifies", good, (body, known))
    control("PUT", "/sim/keys", {"next_certificate": 0})

    # The gray switch: a merchant on the public key is still sent certificate-signed callbacks.
    control("PUT", "/sim/faults", {"callback_key": "certificate"})
    number = "PY-" + uuid.uuid4().hex[:24]
    pay.pay(**{**order, "out_trade_no": number})
    control("POST", "/sim/pay", {"out_trade_no": number, "faults": []})
    _, serial, told = receiver.genuine()
    held = bool(told) and serial != SETTINGS["PUBLIC_KEY_ID"]
    step("public key: a callback signed by the certificate verifies too", held, serial)
    control("PUT", "/sim/faults", {})

    stranger = client(receiver.url, True)
    stranger._core._cert_serial_no = "0" * 40
    code, body = stranger.query(out_trade_no=number, sub_mchid=SUB_MCHID)
    step("an unknown merchant serial is refused", code == 401 and "SIGN_ERROR" in body, body)

    version = wechatpayv3.__version__
    print(f"wechatpayv3 {version}: " + (f"{len(FAILED)} failed" if FAILED else "all held"))
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
