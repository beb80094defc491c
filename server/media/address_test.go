package media

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestPublic(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254",
		"168.63.129.16", "169.254.0.23", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
		"192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.255",
		"::", "::1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1",
		"64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::", "64:ff9b:1::8.8.8.8", "100::1", "2001::1",
		"2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1",
		"fe80::1", "fe80::a9fe:a9fe", "fec0::1", "ff02::1", "ff0e::1", "2606:4700::1111%eth0",
	} {
		if a := netip.MustParseAddr(s); public(a) {
			t.Errorf("%s is taken for public", s)
		}
	}
	for _, s := range []string{
		"1.1.1.1", "8.8.8.8", "101.226.103.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.167.1.1", "198.17.0.1",
		"223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2402:4e00:1900::1", "2606:4700::1111", "2a00::1", "2001:200::1",
	} {
		if a := netip.MustParseAddr(s); !public(a) {
			t.Errorf("%s is not taken for public", s)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is taken for public")
	}
}

// hostileHosts are hosts, as they stand in a URL, that must never be asked, in whatever policy that names no origin.
var hostileHosts = []string{
	"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.0.0.1", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "127.0.0.0x1",
	"127.0.0.1%00.qpic.cn", "127.0.0.1%2eqpic.cn", "0", "0.0.0.0", "00.00.00.00", "10.0.0.1", "10.1", "192.168.1.1", "3232235777", "169.254.169.254", "2852039166",
	"0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518", "1.1.1.256", "1.1.1.1.1", "999.999.999.999",
	"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
	"[2002:7f00:1::]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]", "[2001:db8::1]", "[::1", "::1",
	"localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
	"dify.bots.svc", "dify.bots.svc.cluster.local", "metadata", "metadata.google.internal", "METADATA.GOOGLE.INTERNAL.", "instance-data.ec2.internal",
	"router.lan", "printer.local", "files.corp", "nas.home.arpa", "x.test", "x.invalid", "x.onion",
	"１２７.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "ⓛocalhost", "qpic.cn\u3002local", "例え.jp",
	"", ".", "..", ".qpic.cn", "a..qpic.cn", " qpic.cn", "qpic.cn ", "a b.cn", "a\tb.cn", "a\\b.cn", "127.0.0.1\\.qpic.cn", "a_b@127.0.0.1", "a:b@c.cn", "qpic.cn@127.0.0.1",
	"mmbiz.qpic.cn:8080", "mmbiz.qpic.cn:22", "mmbiz.qpic.cn:0", "mmbiz.qpic.cn:443443", "mmbiz.qpic.cn:-1", "mmbiz.qpic.cn:80x",
	strings.Repeat("a.", 150) + "cn",
}

func TestPolicy_HostileHosts(t *testing.T) {
	pictures := mustHosts(t, "qpic.cn", "qlogo.cn")
	internet := mustInternet(t, "http://dify.bots.svc:5001/v1", "https://files.example.com")
	for _, host := range hostileHosts {
		for _, scheme := range []string{"http://", "https://", "HTTPS://", "ftp://", "file://", "gopher://", "unix://", "//", ""} {
			for _, rest := range []string{"/a.png", "", "/latest/meta-data/", ":443/a.png", ":80/a.png", "#@mmbiz.qpic.cn/", "?mmbiz.qpic.cn/"} {
				u, err := url.Parse(scheme + host + rest)
				if err != nil {
					continue
				}
				for name, p := range map[string]Policy{"pictures": pictures, "internet": internet, "none": {}} {
					if v := p.judge(u); v == trusted || v == guarded && publicHost(hostOf(u), public) {
						t.Errorf("%s lets %s pass", name, u)
					}
				}
			}
		}
	}
}

func mustHosts(t testing.TB, entries ...string) Policy {
	t.Helper()
	p, err := Hosts(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustInternet(t testing.TB, origins ...string) Policy {
	t.Helper()
	p, err := Internet(origins...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicy_Judge(t *testing.T) {
	pictures := mustHosts(t, "qpic.cn", ".QLOGO.cn.", "http://127.0.0.1:8088")
	internet := mustInternet(t, "http://dify.bots.svc:5001/v1", "", "https://Files.Example.com:443/x")
	for _, test := range []struct {
		policy Policy
		url    string
		want   verdict
	}{
		{pictures, "http://mmbiz.qpic.cn/mmbiz_jpg/x/0", guarded},
		{pictures, "https://mmbiz.qpic.cn:443/x", guarded},
		{pictures, "http://MMBIZ.QPIC.CN.:80/x", guarded},
		{pictures, "http://qpic.cn/x", guarded},
		{pictures, "http://wx.qlogo.cn/x", guarded},
		{pictures, "http://127.0.0.1:8088/x", trusted},
		{pictures, "http://127.0.0.1:8089/x", refused},
		{pictures, "https://127.0.0.1:8088/x", refused},
		{pictures, "http://evilqpic.cn/x", refused},
		{pictures, "http://qpic.cn.evil.com/x", refused},
		{pictures, "http://evil.com/qpic.cn", refused},
		{pictures, "http://evil.com/?.qpic.cn", refused},
		{pictures, "http://u@mmbiz.qpic.cn/x", refused},
		{pictures, "https://mmbiz.qpic.cn:80/x", refused},
		{pictures, "ftp://mmbiz.qpic.cn/x", refused},
		{internet, "https://a.example.org/x.png", guarded},
		{internet, "http://a.example.org/x.png", refused},
		{internet, "https://a.example.org:8443/x.png", refused},
		{internet, "http://dify.bots.svc:5001/files/x", trusted},
		{internet, "http://dify.bots.svc/files/x", refused},
		{internet, "https://files.example.com/x", trusted},
		{internet, "https://u:p@files.example.com/x", refused},
		{internet, "https:files.example.com/x", refused},
		{internet, "/files/x", refused},
		{Policy{}, "https://a.example.org/x", refused},
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := test.policy.judge(u); got != test.want {
			t.Errorf("%s: %d, want %d", test.url, got, test.want)
		}
	}
}

func TestPolicy_Wrong(t *testing.T) {
	for _, entry := range []string{"", "localhost", "127.0.0.1", "10.0.0.0/8", "qpic.cn/x", "qpic.cn:80", "例え.jp", "cn", "*.qpic.cn", "ftp://a.cn", "http://", "http://u:secret@a.cn"} {
		if _, err := Hosts(entry); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", entry, err)
		}
	}
	for _, origin := range []string{"a.cn", "ftp://a.cn", "https://", "http://u:secret@a.cn", "http://a b"} {
		if _, err := Internet(origin); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	for _, host := range hostileHosts {
		f.Add("https://" + host + "/x")
	}
	pictures, internet := mustHosts(f, "qpic.cn"), mustInternet(f)
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		if pictures.judge(u) != refused {
			host := hostOf(u)
			if host != "qpic.cn" && !strings.HasSuffix(host, ".qpic.cn") {
				t.Fatalf("%q is taken for one of WeChat's", s)
			}
		}
		if internet.judge(u) == guarded && publicHost(hostOf(u), public) {
			if u.Scheme != "https" || portOf(u) != "443" || u.User != nil {
				t.Fatalf("%q passes", s)
			}
			if a, err := netip.ParseAddr(hostOf(u)); err == nil && !public(a) {
				t.Fatalf("%q passes", s)
			}
		}
	})
}
