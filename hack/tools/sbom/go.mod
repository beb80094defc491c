module github.com/wechatbot/wechatbot-operator/hack/tools/sbom

go 1.26.0

tool github.com/wechatbot/wechatbot-operator/hack/tools/sbom

require github.com/google/licensecheck v0.3.1
