package scale

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

var (
	bots   = flag.Int("bots", 1000, "how many bots BenchmarkOperator has")
	memory = flag.String("memory", "256MiB", "the memory limit of the operator's container, as GOMEMLIMIT writes it")
)

// scraping is how often the metrics are read: the more bots there are the less often, as the operator pays for each page. A
// quarter of the CPU of a restart with 2,000 bots went into pages that were read twice a second.
func scraping() time.Duration {
	return max(500*time.Millisecond, time.Duration(*bots)*200*time.Microsecond)
}

// process is a running cmd/manager.
type process struct {
	cmd     *exec.Cmd
	metrics string
}

func (p *plane) start(b *testing.B, binary, kubeconfig string) *process {
	b.Helper()
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), binary, "--server-image="+image, "--log-level=error",
		"--health-probe-bind-address=0", "--metrics-bind-address="+address, "--metrics-secure=false")
	// As config/manager sets them.
	cmd.Env, cmd.Stderr = append(os.Environ(), "KUBECONFIG="+kubeconfig, "GOMEMLIMIT="+*memory, "GOGC=50"), os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return &process{cmd, "http://" + address + "/metrics"}
}

func (m *process) stop(b *testing.B) {
	b.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := m.cmd.Wait(); err != nil {
		b.Errorf("the manager ended with %v", err)
	}
}

// idle waits until the operator has been at every bot, and nothing is left in the queue.
func (p *plane) idle(b *testing.B, m *process, passes int) {
	b.Helper()
	p.await(b, scraping(), func() (bool, error) {
		page := scrape(m.metrics)
		return sum(b, page, "controller_runtime_reconcile_total", `controller="wechatbot"`) >= float64(passes) &&
			sum(b, page, "workqueue_depth", `name="wechatbot"`) == 0 &&
			sum(b, page, "controller_runtime_active_workers", `controller="wechatbot"`) == 0, nil
	})
}

// cpu is the processor's time that the process has taken.
func (m *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the name may contain blanks
	fields := strings.Fields(after)
	ticks := 0
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ
}

func (m *process) resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if after, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib float64
			if _, err := fmt.Sscan(after, &kib); err != nil {
				b.Fatal(err)
			}
			return kib / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// raw creates the objects of n bots without an operator, as fast as eight clients can, and gives bots a second.
func (p *plane) raw(b *testing.B, n int) float64 {
	b.Helper()
	began := time.Now()
	each(b, n, func(ctx context.Context, i int) error {
		bot := p.bot(i)
		bot.Name, bot.Spec.Suspend = fmt.Sprintf("raw-%04d", i), true
		if err := p.admin.Create(ctx, bot); err != nil {
			return err
		}
		children, err := desired.All(bot, desired.Operator{Image: image}, desired.Surroundings{})
		if err != nil {
			return err
		}
		made, err := configurations(children)
		if err != nil {
			return err
		}
		for _, child := range made {
			if err := p.admin.Apply(ctx, child, client.FieldOwner("raw")); err != nil {
				return err
			}
		}
		before := bot.DeepCopy()
		bot.Status = v1alpha1.WechatBotStatus{URL: "https://raw.example.com"}
		return p.admin.Status().Patch(ctx, bot, client.MergeFrom(before))
	})
	return float64(n) / time.Since(began).Seconds()
}

// configurations are all of a bot's children.
func configurations(children *desired.Children) (all []runtime.ApplyConfiguration, err error) {
	add := func(v reflect.Value) {
		if child, ok := reflect.TypeAssert[runtime.ApplyConfiguration](v); ok && !v.IsNil() {
			all = append(all, child)
		}
	}
	for _, field := range reflect.ValueOf(children).Elem().Fields() {
		if field.Kind() != reflect.Array {
			add(field)
			continue
		}
		for i := range field.Len() {
			add(field.Index(i))
		}
	}
	if len(all) != childrenPerBot {
		return nil, fmt.Errorf("a bot has %d children, not %d", len(all), childrenPerBot)
	}
	return all, nil
}

// BenchmarkOperator measures an operator process: how fast it makes bots next to what the API server allows, how fast a
// restarted one has looked at all of them, and its memory.
//
//	make bench-operator
func BenchmarkOperator(b *testing.B) {
	p := newPlane(b)
	binary := filepath.Join(b.TempDir(), "manager")
	build := exec.CommandContext(b.Context(), "go", "build", "-tags", "grpcnotrace", "-o", binary, "../../cmd/manager")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the manager: %v\n%s", err, out)
	}
	kubeconfig := p.kubeconfig(b)
	for b.Loop() {
		p.createBots(b, *bots)

		began := time.Now()
		m := p.start(b, binary, kubeconfig)
		p.idle(b, m, *bots) // listing the bots all the time would cost the API server much
		made := float64(*bots) / time.Since(began).Seconds()
		cpu := m.cpu(b)
		p.awaitBots(b)
		resident := m.resident(b)
		page := scrape(m.metrics)
		passes := sum(b, page, "controller_runtime_reconcile_total", `controller="wechatbot"`)
		writes := sum(b, page, "wechatbot_apply_total", "")
		m.stop(b)

		began = time.Now()
		m = p.start(b, binary, kubeconfig)
		p.idle(b, m, *bots)
		restart := time.Since(began)
		again := sum(b, scrape(m.metrics), "wechatbot_apply_total", "")
		after, restartCPU := m.resident(b), m.cpu(b)
		m.stop(b)
		raw := p.raw(b, min(*bots, 150)) // without an operator, which would cache these too

		b.ReportMetric(0, "ns/op")
		b.ReportMetric(raw, "raw-bots/s")
		b.ReportMetric(made, "bots/s")
		b.ReportMetric(100*made/raw, "%of-raw")
		b.ReportMetric(writes/float64(*bots), "child-writes/bot")
		b.ReportMetric(passes/float64(*bots), "passes/bot")
		b.ReportMetric(resident, "MiB-resident")
		b.ReportMetric(cpu.Seconds(), "s-CPU")
		b.ReportMetric(restart.Seconds(), "s-restart")
		b.ReportMetric(restartCPU.Seconds(), "s-CPU-restart")
		b.ReportMetric(again, "restart-writes")
		b.ReportMetric(after, "MiB-after-restart")
	}
}

// awaitBots waits until the operator has reported on all bots but the raw ones.
func (p *plane) awaitBots(b *testing.B) {
	b.Helper()
	p.await(b, looking, func() (bool, error) {
		var all v1alpha1.WechatBotList
		if err := p.admin.List(b.Context(), &all, client.InNamespace(p.namespace)); err != nil {
			return false, err
		}
		done := 0
		for i := range all.Items {
			if !all.Items[i].Spec.Suspend && all.Items[i].Status.ObservedGeneration > 0 {
				done++
			}
		}
		return done == *bots, nil
	})
}
