local hs = {status = "Progressing", message = "the operator has not looked at it yet"}
if obj.status == nil or obj.status.conditions == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
local found = {}
for _, c in ipairs(obj.status.conditions) do
  found[c.type] = c
end
local ready = found["Ready"]
if ready ~= nil then
  hs.message = ready.message
end
if found["Suspended"] ~= nil then
  hs.status = "Suspended"
elseif found["Stalled"] ~= nil then
  hs.status = "Degraded"
elseif ready ~= nil and ready.reason == "Stopped" then
  hs.status = "Suspended"
elseif ready ~= nil and ready.status == "True" then
  hs.status = "Healthy"
  -- What WeChat's console or account still lacks; followers are answered all the same, or nobody has pasted the URL yet.
  hs.message = obj.status.summary or hs.message
end
return hs
