-- Counts and reads in one step. `now` is set: Redis's clock, in microseconds.
--
-- ARGV holds five words for each thing to do: what, which of KEYS, the window in seconds, a name, and how much to add.
-- The answer has one whole number for each.
--
--   sum   a window cut into twelve buckets, as a ring of thirteen: the one being filled and the twelve before it. KEYS is a hash; the field
--         `name` holds the number of the newest bucket, `name:0` to `name:12` what is in them. Gives the sum, with what was added.
--   set   the different members met within the window. KEYS is a sorted set by time; name is the member, added unless 0 is. Gives how many.
--   seen  whether name is such a member: 0 no, 1 yes, 2 yes, but it was last noted more than a twelfth of the window ago.

local BUCKETS, MEMBERS = 12, 1000
local answers, hashes = {}, {}

local function whole(number)
    return string.format('%.0f', number)
end

-- A hash is read once and written once, however many counters it holds.
local function load(key, window)
    local hash = hashes[key]
    if not hash then
        local flat = redis.call('HGETALL', key)
        hash = {fields = {}, changed = {}, gone = {}, width = window / BUCKETS}
        for place = 1, #flat, 2 do
            hash.fields[flat[place]] = tonumber(flat[place + 1])
        end
        hashes[key] = hash
    end
    return hash
end

local function store(key, hash)
    if hash.fresh then
        -- A counter that no rule asks for any more goes with its last bucket.
        local oldest = math.floor(now / hash.width) - BUCKETS
        for name, newest in pairs(hash.fields) do
            if newest < oldest and not string.find(name, ':', 1, true) then
                hash.gone[#hash.gone + 1] = name
                for slot = 0, BUCKETS do
                    hash.gone[#hash.gone + 1] = name .. ':' .. slot
                end
            end
        end
    end
    for first = 1, #hash.gone, 1000 do
        redis.call('HDEL', key, unpack(hash.gone, first, math.min(first + 999, #hash.gone)))
    end
    if #hash.changed > 0 then
        redis.call('HSET', key, unpack(hash.changed))
        redis.call('PEXPIRE', key, whole(math.ceil((BUCKETS + 1) * hash.width / 1000)))
    end
end

local function sum(key, window, name, add)
    local hash = load(key, window)
    local fields = hash.fields
    local bucket = math.floor(now / hash.width)
    local newest = fields[name]
    if newest and newest > bucket then
        -- The clock was set back. By less than the window: what is counted goes to the newest bucket, so nothing is missed. By more:
        -- when all this happened is anybody's guess, and it begins anew.
        if newest - bucket <= BUCKETS then
            bucket = newest
        else
            newest = nil
        end
    end
    local total, stale = 0, {}
    for age = 0, BUCKETS do
        local number = bucket - age
        local field = name .. ':' .. (number % (BUCKETS + 1))
        local value = fields[field]
        if value and newest and number <= newest and number >= newest - BUCKETS then
            total = total + value
        elseif value then
            stale[#stale + 1] = field
        end
    end
    if add > 0 then
        local slot = name .. ':' .. (bucket % (BUCKETS + 1))
        for _, field in ipairs(stale) do
            fields[field] = nil
            if field ~= slot then
                hash.gone[#hash.gone + 1] = field
            end
        end
        hash.fresh = hash.fresh or newest ~= bucket
        fields[name] = bucket
        fields[slot] = (fields[slot] or 0) + add
        for _, field in ipairs({name, slot}) do
            hash.changed[#hash.changed + 1] = field
            hash.changed[#hash.changed + 1] = whole(fields[field])
        end
        total = total + add
    end
    return total
end

local function set(key, window, name, add)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - window))
    if add > 0 then
        redis.call('ZADD', key, whole(now), name)
        redis.call('ZREMRANGEBYRANK', key, 0, -(MEMBERS + 1))
        redis.call('PEXPIRE', key, whole(math.ceil(window / 1000)))
    end
    return redis.call('ZCARD', key)
end

local function seen(key, window, name)
    local at = tonumber(redis.call('ZSCORE', key, name) or nil)
    if not at or at <= now - window then
        return 0
    elseif at < now - window / BUCKETS then
        return 2
    end
    return 1
end

for first = 1, #ARGV, 5 do
    local what, key = ARGV[first], KEYS[tonumber(ARGV[first + 1])]
    local window, name, add = tonumber(ARGV[first + 2]) * 1000000, ARGV[first + 3], tonumber(ARGV[first + 4])
    if what == 'sum' then
        answers[#answers + 1] = sum(key, window, name, add)
    elseif what == 'set' then
        answers[#answers + 1] = set(key, window, name, add)
    else
        answers[#answers + 1] = seen(key, window, name)
    end
end
for key, hash in pairs(hashes) do
    store(key, hash)
end
return answers
