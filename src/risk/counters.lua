-- Counts and reads in one step. `now` is set: Redis's clock, in microseconds.
--
-- For each of KEYS, in their order, ARGV says what it is and what is asked of it. The answer is one string: all the numbers, eight bytes each, the highest first.
--
--   sums n, then n times: name, window, add   the sums over the last `window` seconds, with what is added now. Names are different for different windows.
--   set window, member, add                   how many different members were met within the window. This one is met now, unless 0 is added.
--   seen window, member                       whether it is such a member: 0 no, 1 yes, 2 yes, but last noted more than a twelfth of the window ago.
--
-- A window is cut into twelve buckets. The sums of a key are one string, packed: for each name {window, number of the newest bucket, what is in it, what is in the one
-- before it, ..}, at most thirteen: the one being filled and the twelve before it. So a key is read once and written once, whatever is asked.

local BUCKETS, MEMBERS = 12, 1000

local answers, place = {}, 0

local function answer(number)
    answers[#answers + 1] = number
end

local function word()
    place = place + 1
    return ARGV[place]
end

local function whole(number)
    return string.format('%.0f', number)
end

local function bucket_of(window)
    return math.floor(now / (window * 1000000 / BUCKETS))
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

-- What is over goes, also what no rule asks for any more, and the key with its last bucket.
local function store(key, sums)
    local longest = 0
    for name, sum in pairs(sums) do
        if not age(sum[1], sum[2]) then
            sums[name] = nil
        elseif sum[1] > longest then
            longest = sum[1]
        end
    end
    local lasts = math.ceil(longest * 1000 * (BUCKETS + 1) / BUCKETS)
    redis.call('SET', key, cmsgpack.pack(sums), 'PX', whole(lasts))
end

local asked = {}

function asked.sums(key)
    local packed = redis.call('GET', key)
    local sums = packed and cmsgpack.unpack(packed) or {}
    local added = false
    for _ = 1, tonumber(word()) do
        local name, window, add = word(), tonumber(word()), tonumber(word())
        answer(count(sums, name, window, add))
        added = added or add > 0
    end
    if added then
        store(key, sums)
    end
end

function asked.set(key)
    local window, member, add = tonumber(word()), word(), tonumber(word())
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now - window * 1000000))
    if add > 0 then
        redis.call('ZADD', key, whole(now), member)
        redis.call('ZREMRANGEBYRANK', key, 0, -(MEMBERS + 1))
        redis.call('PEXPIRE', key, whole(window * 1000))
    end
    answer(redis.call('ZCARD', key))
end

function asked.seen(key)
    local window, member = tonumber(word()) * 1000000, word()
    local at = tonumber(redis.call('ZSCORE', key, member) or nil)
    if not at or at <= now - window then
        answer(0)
    elseif at < now - window / BUCKETS then
        answer(2)
    else
        answer(1)
    end
end

for _, key in ipairs(KEYS) do
    asked[word()](key)
end
return struct.pack('>' .. string.rep('i8', #answers), unpack(answers))
