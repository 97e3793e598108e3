-- Health of an ExtractionRun for Argo CD: Progressing until it has an outcome, then Healthy or Degraded.
local status = obj.status or {}

local function say(reason, message)
  if message == nil or message == "" then
    return reason
  end
  return reason .. ": " .. message
end

if status.outcome == "Succeeded" then
  return {status = "Healthy", message = status.message or ""}
end
if status.outcome ~= nil then
  return {status = "Degraded", message = say(status.reason or status.outcome, status.message)}
end
if status.reason == nil then
  return {status = "Progressing", message = "It waits for its turn"}
end
return {status = "Progressing", message = say(status.reason, status.message)}
