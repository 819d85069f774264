-- Counts and reads in one step. `now` is set: Redis's clock, in microseconds.
--
-- For each of KEYS, in their order, ARGV says what it is and what is asked of it. The answer is one string: all the numbers, eight bytes each, the highest first.
--
--   sums n, then n times: name, window, add   the sums over the last `window` seconds, with what is added now. Names are different for different windows.
--   add activity, n, then n times: name, window, add
--                                             as `sums`, for an activity that may be reported more than once: what it adds is added once. Everybody who reported it holds it.
--   revert activity, n, then n times: name, window, add
--                                             whoever reported the activity holds it no longer; when nobody does, what was added is subtracted again. No number.
--   set window, member, add                   how many different members were met within the window. This one is met now, unless 0 is added.
--   add_member window, member                 as `set` with 1, and two more numbers: when it was met before (0: not within the window), and now.
--   revert_member window, member, at, before  a member that was met at this time was not: if nobody met it since, it was last met before. No number.
--   seen window, member                       whether it is such a member: 0 no, 1 yes, 2 yes, but last noted more than a twelfth of the window ago.
--
-- A window is cut into twelve buckets. The sums of a key are one string, packed: for each name {window, number of the newest bucket, what is in it, what is in the one
-- before it, ..}, at most thirteen: the one being filled and the twelve before it. So a key is read once and written once, whatever is asked.
--
-- Under the name '' are the latest activities, in the order in which they came: 8 bytes that name it, 8 for its time, 1 for how many hold it. They are for activities of which it is not
-- known yet whether they are done, which takes seconds: what is older than ten minutes or than 64 others is forgotten, and what it added stays.

local BUCKETS, MEMBERS = 12, 1000
local ACTIVITIES, RECORD, ACTIVITIES_MAX, REMEMBERED = '', 17, 64, 600 * 1000000

local answers, position = {}, 0

local function reply(number)
    answers[#answers + 1] = number
end

local function next_argument()
    position = position + 1
    return ARGV[position]
end

local function whole(number)
    return string.format('%.0f', number)
end

local function bucket_at(window, at)
    return math.floor(at / (window * 1000000 / BUCKETS))
end

local function bucket_of(window)
    return bucket_at(window, now)
end

-- How many buckets ago the newest one was begun; none if it is all over.
local function age(window, newest)
    local ago = bucket_of(window) - newest
    if ago < 0 then
        -- The clock was set back. By less than the window: what is counted goes to the newest bucket, so nothing is missed. By more: when
        -- all this happened is anybody's guess, and it begins anew.
        return ago >= -BUCKETS and 0 or nil
    end
    return ago <= BUCKETS and ago or nil
end

local function count(sums, name, window, add)
    local sum = sums[name]
    local ago = sum and age(window, sum[2])
    if not ago then
        if add > 0 then
            sums[name] = {window, bucket_of(window), add}
        end
        return add
    end
    local total = add
    for bucket = 3, math.min(#sum, BUCKETS + 3 - ago) do
        total = total + sum[bucket]
    end
    if add > 0 and ago == 0 then
        sum[3] = sum[3] + add
    elseif add > 0 then
        local moved = {window, sum[2] + ago, add}
        for bucket = 4, ago + 2 do
            moved[bucket] = 0
        end
        for bucket = 3, math.min(#sum, BUCKETS + 3 - ago) do
            moved[bucket + ago] = sum[bucket]
        end
        sums[name] = moved
    end
    return total
end

local function take_away(sums, name, window, add, at)
    local sum = sums[name]
    if not sum then
        return
    end
    local position = sum[2] - bucket_at(window, at) + 3
    if position >= 3 and sum[position] then
        sum[position] = math.max(sum[position] - add, 0)
    end
    for bucket = 3, #sum do
        if sum[bucket] > 0 then
            return
        end
    end
    sums[name] = nil
end

-- Where an activity is among the latest; none if it is not.
local function find(activities, activity)
    local position = 0
    repeat
        position = string.find(activities, activity, position + 1, true)
    until not position or position % RECORD == 1
    return position
end

local function record_of(activities, position)
    local at, holders = struct.unpack('>i8B', string.sub(activities, position + 8, position + RECORD - 1))
    return at, holders
end

local function with_record(activities, position, activity, at, holders)
    local record = holders > 0 and activity .. struct.pack('>i8B', at, math.min(holders, 255)) or ''
    return string.sub(activities, 1, position - 1) .. record .. string.sub(activities, position + RECORD)
end

local function remember(activities, activity)
    activities = activities .. activity .. struct.pack('>i8B', now, 1)
    local first = math.max(#activities - ACTIVITIES_MAX * RECORD, 0) + 1
    while record_of(activities, first) < now - REMEMBERED do
        first = first + RECORD
    end
    return string.sub(activities, first)
end

-- What is over goes, also what no rule asks for any more, and the key with its last bucket.
local function store(key, sums)
    local longest = 0
    for name, sum in pairs(sums) do
        if name == ACTIVITIES then
            -- Of no use but beside sums.
        elseif not age(sum[1], sum[2]) then
            sums[name] = nil
        elseif sum[1] > longest then
            longest = sum[1]
        end
    end
    if longest == 0 then
        redis.call('DEL', key)
        return
    end
    local lasts = math.ceil(longest * 1000 * (BUCKETS + 1) / BUCKETS)
    redis.call('SET', key, cmsgpack.pack(sums), 'PX', whole(lasts))
end

local requests = {}

function requests.sums(key)
    local packed = redis.call('GET', key)
    local sums = packed and cmsgpack.unpack(packed) or {}
    local added = false
    for _ = 1, tonumber(next_argument()) do
        local name, window, add = next_argument(), tonumber(next_argument()), tonumber(next_argument())
        reply(count(sums, name, window, add))
        added = added or add > 0
    end
    if added then
        store(key, sums)
    end
end

function requests.add(key)
    local packed, activity = redis.call('GET', key), next_argument()
    local sums = packed and cmsgpack.unpack(packed) or {}
    local activities = sums[ACTIVITIES] or ''
    local position = find(activities, activity)
    local added = false
    for _ = 1, tonumber(next_argument()) do
        local name, window, add = next_argument(), tonumber(next_argument()), tonumber(next_argument())
        -- What it adds is there.
        add = position and 0 or add
        reply(count(sums, name, window, add))
        added = added or add > 0
    end
    if position then
        local at, holders = record_of(activities, position)
        sums[ACTIVITIES] = with_record(activities, position, activity, at, holders + 1)
        store(key, sums)
    elseif added then
        sums[ACTIVITIES] = remember(activities, activity)
        store(key, sums)
    end
end

function requests.revert(key)
    local packed, activity = redis.call('GET', key), next_argument()
    local sums = packed and cmsgpack.unpack(packed) or {}
    local activities = sums[ACTIVITIES] or ''
    local position = find(activities, activity)
    local at, holders = 0, 0
    if position then
        at, holders = record_of(activities, position)
    end
    for _ = 1, tonumber(next_argument()) do
        local name, window, add = next_argument(), tonumber(next_argument()), tonumber(next_argument())
        if holders == 1 and add > 0 then
            take_away(sums, name, window, add, at)
        end
    end
    if position then
        sums[ACTIVITIES] = with_record(activities, position, activity, at, holders - 1)
        store(key, sums)
    end
end

function requests.set(key)
    local window, member, add = tonumber(next_argument()), next_argument(), tonumber(next_argument())
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - window * 1000000))
    if add > 0 then
        redis.call('ZADD', key, whole(now), member)
        redis.call('ZREMRANGEBYRANK', key, 0, -(MEMBERS + 1))
        redis.call('PEXPIRE', key, whole(window * 1000))
    end
    reply(redis.call('ZCARD', key))
end

function requests.add_member(key)
    local window, member = tonumber(next_argument()), next_argument()
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - window * 1000000))
    local before = tonumber(redis.call('ZSCORE', key, member) or 0)
    redis.call('ZADD', key, whole(now), member)
    redis.call('ZREMRANGEBYRANK', key, 0, -(MEMBERS + 1))
    redis.call('PEXPIRE', key, whole(window * 1000))
    reply(redis.call('ZCARD', key))
    reply(before)
    reply(now)
end

function requests.revert_member(key)
    local window, member, at, before = tonumber(next_argument()), next_argument(), tonumber(next_argument()), tonumber(next_argument())
    local last = tonumber(redis.call('ZSCORE', key, member) or nil)
    if last ~= at then
        return
    end
    if before > now - window * 1000000 then
        redis.call('ZADD', key, whole(before), member)
    else
        redis.call('ZREM', key, member)
    end
end

function requests.seen(key)
    local window, member = tonumber(next_argument()) * 1000000, next_argument()
    local at = tonumber(redis.call('ZSCORE', key, member) or nil)
    if not at or at <= now - window then
        reply(0)
    elseif at < now - window / BUCKETS then
        reply(2)
    else
        reply(1)
    end
end

for _, key in ipairs(KEYS) do
    requests[next_argument()](key)
end
return struct.pack('>' .. string.rep('i8', #answers), unpack(answers))
