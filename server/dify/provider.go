package dify

import "strings"

// providerTexts are parts of error messages of model providers, in lower case. Dify passes on these messages under one
// code, with a prefix of the provider's plugin. The first row that matches is the kind of the error. Refusals are before
// ModelBusy, so that they are not retried.
//
// testdata/dify/providers.json has messages of all providers; add new ones there first.
var providerTexts = []struct {
	kind  Kind
	texts []string
}{
	{ContentFiltered, []string{
		"content management policy", "responsibleaipolicyviolation", "content_filter", "contentfilter", // Azure, OpenAI
		"content_policy_violation", "violating our usage policy", "rejected as a result of our safety system", "invalid_prompt", // OpenAI
		"content filtering policy",                                                // Anthropic
		"data_inspection_failed", "datainspectionfailed", "inappropriate content", // Qwen
		"content exists risk",                     // DeepSeek
		"considered high risk",                    // Moonshot
		"不安全或敏感内容", "unsafe or sensitive content", // Zhipu
		"sensitivecontentdetected", "sensitive information", "includes sensitive content", "riskdetection", // Volcengine
		"finish_reason: safety", "finish_reason: prohibited_content", "block_reason", "blocked due to safety", "prompt was blocked", // Gemini
		"new_sensitive",                              // MiniMax
		"sensitive_words_detected", "prompt_blocked", // gateways
		"含有违规信息", "内容违规", "内容审核", "敏感词",
	}},
	{ContextTooLong, []string{
		"maximum context length", "context_length_exceeded", "context length exceeded", "reduce the length of the messages", // OpenAI, DeepSeek, vLLM
		"prompt is too long", "exceed context limit", // Anthropic
		"range of input length should be",                           // Qwen
		"exceeded model token limit", "input token length too long", // Moonshot
		"prompt 超长", "prompt超长", "输入超长", "输入过长", "输入长度", // Zhipu and others
		"input token count",                                                                         // Gemini
		"longer than the model's context length",                                                    // SGLang
		"exceeds the available context size", "exceed context window", "exceeds the context window", // llama.cpp
		"total tokens of image and text exceed max message tokens", "max message tokens", // Volcengine
		"model's context window", "context window exceeds limit", // OpenAI's newer, MiniMax
		"query or prefix prompt is too long", // Dify itself
	}},
	{ModelBusy, []string{
		"please retry in", // Gemini calls its rate limit a quota
	}},
	{QuotaExceeded, []string{
		"insufficient_quota", "exceeded your current quota", "billing_hard_limit", "billing hard limit", "billing_not_active", "check your billing details", // OpenAI
		"insufficient balance", "insufficient_user_quota", // DeepSeek, gateways
		"credit balance is too low",                                                                                                              // Anthropic
		"arrearage", "account is in good standing", "freetieronly", "free tier of the model has been exhausted", "free allocated quota exceeded", // Qwen
		"exceeded_current_quota", "tpd rate limit", // Moonshot
		"欠费", "余额不足", "额度不足", "已用尽", "in arrears", // Zhipu, Baidu, Tencent
		"accountoverdue", "overdue balance", "set inference limit", "setlimitexceeded", "model service has been paused", "exhausted the free", // Volcengine
		"quota for dify hosted model provider", "upgrade your dify plan", "payment required", "error code: 402",
		"monthly usage limit", "usage limit for this billing cycle",
	}},
	{ModelMisconfigured, []string{
		"incorrect api key", "invalid api key", "invalid_api_key", "invalidapikey", "api key not valid", "api_key_invalid", "no api key",
		"invalid x-api-key", "authentication fails", "authentication failed", "authenticationerror", "authentication_error", "invalid authentication",
		"身份验证失败", "令牌已过期或验证不正确", "invokeauthorizationerror", "incorrect model credentials", "credentials is not initialized", "token not init",
		"does not exist or you do not have access", "model_not_found", "model not exist", "model does not exist", "modelnotfound", "not found the model",
		"模型不存在", "invalidendpointormodel", "deploymentnotfound", "deployment for this resource does not exist", "is not found for api version",
		"permission_denied", "permission denied", "plugin runtime not found", "access denied",
	}},
	{ModelBusy, []string{
		"rate limit", "rate_limit", "ratelimit", "too many requests", "toomanyrequests", "throttling", "allocated quota exceeded", "requests rate",
		"resource_exhausted", "resource has been exhausted", "reached max", "quotaexceeded", "overloaded", "serveroverloaded", "server is busy",
		"high demand", "service unavailable", "serviceunavailable", "server unavailable", "serverunavailable", "temporarily unavailable",
		"connection error", "connectionerror", "connecterror", "connection refused", "connection reset", "connection aborted", "timed out", "timeout",
		"bad gateway", "internalservererror", "internal server error", "internalerror", "try again later",
		"error code: 429", "error code: 500", "error code: 502", "error code: 503", "error code: 504", "error code: 529",
		"status code 429", "status code 500", "status code 502", "status code 503", "status code 504", "status code: 429", "status code: 5",
		"访问量过大", "并发数过高", "并发过高", "速率限制", "限流", "请稍后再试", "服务繁忙", "系统繁忙",
	}},
}

// kindOfText returns the kind of a model provider's error message, "" if it is unknown.
func kindOfText(message string) Kind {
	message = strings.ToLower(message)
	for _, row := range providerTexts {
		for _, text := range row.texts {
			if strings.Contains(message, text) {
				return row.kind
			}
		}
	}
	return ""
}
