-- Health of a DistributorExtraction for Argo CD. Degraded means that a person must act, Progressing that it
-- may pass by itself and has a deadline. A run under way leaves it Healthy, and so does one that failed and
-- is made up for; what it failed for is then the message.
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is(kind, status)
  return conditions[kind] ~= nil and conditions[kind].status == status
end

local function say(kind)
  local condition = conditions[kind]
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "It is being deleted"}
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not looked at this generation yet"}
end
if is("Stalled", "True") then
  return {status = "Degraded", message = say("Stalled")}
end
if is("Reconciling", "True") then
  return {status = "Progressing", message = say("Ready")}
end
if is("Suspended", "True") then
  return {status = "Suspended", message = "Nothing new starts"}
end
if not is("Ready", "True") then
  return {status = "Progressing", message = "The operator has not said yet whether it is ready"}
end
if is("LastRunSucceeded", "False") then
  return {status = "Healthy", message = "The last run failed. " .. say("LastRunSucceeded")}
end
return {status = "Healthy", message = conditions["Ready"].message or ""}
