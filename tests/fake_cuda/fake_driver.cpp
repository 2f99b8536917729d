// A stand-in for the CUDA driver over the host's memory: see control.h. FAKE_CUDA_DEVICES says how
// many devices there are (else two).
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control.h"
#include "host_blocks.h"

namespace {

using Status = int;
using Pointer = unsigned long long;
constexpr Status success = 0, invalid_value = 1, out_of_memory = 2, not_initialized = 3,
                 invalid_device = 101, invalid_image = 200, invalid_context = 201,
                 invalid_handle = 400, not_found = 500, not_ready = 600,
                 capture_unsupported = 900, capture_unjoined = 904, capture_wrong_thread = 908,
                 not_supported = 801,
                 illegal_address = 700, launch_failed = 719;
constexpr Pointer mark = Pointer{1} << 62;
constexpr int dynamic_shared_limit = 8, default_shared = 48 * 1024, most_shared = 227 * 1024;

using Work = std::function<void()>;
struct Node {
  Work work;
  std::vector<std::size_t> waits;   // for these nodes
};
struct Graph {
  std::vector<Node> nodes;
  int device = 0;
  std::vector<std::size_t> newest;  // while recorded: what the next node waits for
  long replays = 0;
};
struct Stream;
struct Event {
  int device = 0;
  Stream* stream = nullptr;   // that it was recorded in last
  std::uint64_t recorded = 0, reached = 0;   // how often
};
struct Item {
  enum class Kind { work, reach, follow } kind = Kind::work;
  Work work = {};
  Event* event = nullptr;
  std::uint64_t number = 0;
};
struct Stream {
  int device = 0;
  std::shared_ptr<Graph> capturing = {};
  std::deque<Item> items = {};
};
struct Module {
  void* library = nullptr;
  int device = 0;
};
/// As fake_kernel.h gives them.
struct Parameters {
  unsigned count;
  const unsigned* sizes;
  const bool* pointers;
};
struct Kernel {
  std::string name;
  Parameters parameters = {};
  void (*call)(void** arguments) = nullptr;
  const CudaHostModule* module = nullptr;
  int device = 0;
  int shared_limit = default_shared;
};
struct Memory {
  std::size_t bytes = 0;
  int device = 0;
};
struct Fake {
  std::recursive_mutex mutex;
  std::map<Pointer, Memory> blocks;   // by the host's address
  std::map<Pointer, std::size_t> live;   // those that a stream will free too
  std::map<std::pair<void*, std::string>, Kernel> kernels;
  std::set<Stream*> streams;
  Status kernel_error = success;   // of the next kernel that runs
  std::map<std::string, std::pair<int, Status>> failures;
  std::map<std::string, std::pair<int, Work>> meanwhile;
  FakeCudaCounts counts{};
  FakeCudaAlive alive{};
  std::size_t memory = std::size_t{1} << 30;
  Status lost = success, broken = success;   // broken: by a kernel, for good
  std::string report;   // of the kernel that went wrong
  bool ready = false;
};

Fake& fake() {
  static auto& the = *new Fake;
  return the;
}

/// The device whose context is this thread's, else -1.
thread_local int current = -1;
/// Whether this thread records.
thread_local bool records = false;

/// Null unless all of these bytes were allocated on the device.
void* to_host(Pointer at, std::size_t bytes, int device) {
  const Pointer host = at & ~mark;
  if (!(at & mark)) return nullptr;
  auto it = fake().blocks.upper_bound(host);
  if (it == fake().blocks.begin()) return nullptr;
  --it;
  const Memory& found = it->second;
  return found.device == device && host + bytes <= it->first + found.bytes
             ? reinterpret_cast<void*>(host)
             : nullptr;
}

/// For the library that runs kernels.
bool find_block(const void* at, const char** begin, const char** end) {
  auto it = fake().live.upper_bound(reinterpret_cast<Pointer>(at));
  if (it == fake().live.begin()) return false;
  --it;
  *begin = reinterpret_cast<const char*>(it->first);
  *end = *begin + it->second;
  return at < *end;
}

/// A launch of a kernel with copies of its arguments, addresses as the host's.
struct Launch {
  std::string name;   // the kernel may be forgotten first
  void (*call)(void** arguments);
  std::vector<std::vector<char>> values;
  std::vector<void*> pointers;
  CudaHostLaunch what{};

  Launch(const Kernel& kernel, unsigned blocks, unsigned threads, unsigned shared, void** arguments)
      : name(kernel.name), call(kernel.call) {
    for (unsigned i = 0; i < kernel.parameters.count; ++i) {
      const char* const from = static_cast<const char*>(arguments[i]);
      values.emplace_back(from, from + kernel.parameters.sizes[i]);
      if (!kernel.parameters.pointers[i]) continue;
      Pointer at = 0;
      std::memcpy(&at, from, sizeof at);
      if (at == 0) continue;
      void* const host = to_host(at, 0, current);
      if (!host) fake().broken = illegal_address;
      std::memcpy(values.back().data(), &host, sizeof host);
    }
    for (auto& value : values) pointers.push_back(value.data());
    const auto thread = [](void* launch) {
      auto& self = *static_cast<Launch*>(launch);
      self.call(self.pointers.data());
    };
    what = {name.c_str(), kernel.module, blocks, threads, shared, thread, this};
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  void run() const {
    Fake& f = fake();
    if (f.kernel_error) f.broken = std::exchange(f.kernel_error, success);
    if (f.broken) return;
    const char* const report = cuda_host_launch(&what);
    const CudaHostTraffic traffic = cuda_host_traffic();
    f.counts.loaded += static_cast<long>(traffic.loaded);
    f.counts.stored += static_cast<long>(traffic.stored);
    if (!report) return;
    f.report = report;
    f.broken = launch_failed;
    std::fprintf(stderr, "%s\n", report);
  }
};

int devices() {
  const char* asked = std::getenv("FAKE_CUDA_DEVICES");
  return asked ? std::atoi(asked) : 2;
}

/// What happens before every call: injected errors.
Status enter(const char* function) {
  Fake& f = fake();
  ++f.counts.calls;
  if (f.lost) return f.lost;
  if (f.broken) return f.broken;
  if (!f.ready && std::strcmp(function, "cuInit") != 0) return not_initialized;
  if (const auto other = f.meanwhile.find(function);
      other != f.meanwhile.end() && --other->second.first <= 0) {
    const Work work = std::move(other->second.second);
    f.meanwhile.erase(other);
    work();
  }
  const std::string_view asked(function);
  const bool gives_back = asked.find("Free") != asked.npos || asked.find("Destroy") != asked.npos ||
                          asked.find("Unload") != asked.npos;
  for (const char* const name : {function, ""}) {
    if (!*name && gives_back) break;
    const auto it = f.failures.find(name);
    if (it == f.failures.end() || --it->second.first > 0) continue;
    const Status error = it->second.second;
    f.failures.erase(it);
    return error;
  }
  return success;
}

/// Runs the first thing in a stream, and before it what it waits for.
void step(Stream& stream) {
  const Item item = std::move(stream.items.front());
  stream.items.pop_front();
  switch (item.kind) {
    case Item::Kind::work:
      if (!fake().broken) item.work();
      break;
    case Item::Kind::reach: item.event->reached = item.number; break;
    case Item::Kind::follow:
      while (item.event->reached < item.number) step(*item.event->stream);
      break;
  }
}

void finish(Stream& stream) {
  while (!stream.items.empty()) step(stream);
}

void finish_all() {
  for (Stream* stream : fake().streams) finish(*stream);
}

/// Into the stream, or the graph that is being recorded.
Status enqueue(Stream* stream, Work work) {
  if (!stream) return invalid_handle;
  if (stream->capturing) {
    Graph& graph = *stream->capturing;
    graph.nodes.push_back({std::move(work), graph.newest});
    graph.newest = {graph.nodes.size() - 1};
  } else {
    stream->items.push_back({.work = std::move(work)});
  }
  return success;
}

/// In an order that the waits allow: of what may run the first, and the next time the last.
void replay(Graph& graph) {
  const bool last_first = ++graph.replays % 2 == 0;
  std::vector<std::vector<std::size_t>> after(graph.nodes.size());
  std::vector<std::size_t> left;
  std::set<std::size_t> ready;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const std::size_t w : graph.nodes[n].waits) after[w].push_back(n);
    left.push_back(graph.nodes[n].waits.size());
    if (left[n] == 0) ready.insert(n);
  }
  while (!ready.empty()) {
    const std::size_t n = last_first ? *ready.rbegin() : *ready.begin();
    ready.erase(n);
    graph.nodes[n].work();
    for (const std::size_t next : after[n])
      if (--left[next] == 0) ready.insert(next);
  }
}

/// Whether each node leads to one of the newest.
bool is_joined(const Graph& graph) {
  std::vector<char> met(graph.nodes.size(), 0);
  for (const std::size_t n : graph.newest) met[n] = 1;
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    if (!met[n]) return false;
    for (const std::size_t w : graph.nodes[n].waits) met[w] = 1;
  }
  return true;
}

Status allocate(Pointer* at, std::size_t bytes) {
  Fake& f = fake();
  if (current < 0) return invalid_context;
  if (bytes == 0) return invalid_value;
  if (f.counts.used + bytes > f.memory) return out_of_memory;
  void* const host = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!host) return out_of_memory;
  std::memset(host, 0xA5, bytes);  // so that what nobody wrote shows
  f.blocks[reinterpret_cast<Pointer>(host)] = {bytes, current};
  f.live[reinterpret_cast<Pointer>(host)] = bytes;
  ++f.counts.allocations, f.counts.used += bytes;
  *at = reinterpret_cast<Pointer>(host) | mark;
  return success;
}

/// No one may ask for the block any more; what remains is to free it. Empty where there is none.
Work forget(Pointer at) {
  Fake& f = fake();
  const auto it = f.blocks.find(at & ~mark);
  if (it == f.blocks.end() || !(at & mark)) return {};
  void* const host = reinterpret_cast<void*>(it->first);
  const std::size_t bytes = it->second.bytes;
  f.counts.used -= bytes;
  f.blocks.erase(it);
  return [=] {
    fake().live.erase(reinterpret_cast<Pointer>(host));
    std::memset(host, 0xDD, bytes);
    std::free(host);
  };
}

template <class Body> Status call(const char* function, const Body& body) {
  const std::scoped_lock lock(fake().mutex);
  const Status e = enter(function);
  return e ? e : body();
}

}  // namespace

extern "C" {

FakeCudaCounts fake_cuda_counts() {
  const std::scoped_lock lock(fake().mutex);
  return fake().counts;
}
FakeCudaAlive fake_cuda_alive() {
  const std::scoped_lock lock(fake().mutex);
  return fake().alive;
}
void fake_cuda_fail(const char* function, int n, int error) {
  const std::scoped_lock lock(fake().mutex);
  fake().failures[function] = {n, error};
}
void fake_cuda_meanwhile(const char* function, int n, const std::function<void()>& work) {
  const std::scoped_lock lock(fake().mutex);
  fake().meanwhile[function] = {n, work};
}
void fake_cuda_lose(int error) {
  const std::scoped_lock lock(fake().mutex);
  fake().lost = error;
  if (!error) fake().broken = success;
}
void fake_cuda_fail_kernel(int error) {
  const std::scoped_lock lock(fake().mutex);
  fake().kernel_error = error;
}
void* fake_cuda_place(unsigned long long at, std::size_t bytes) {
  const std::scoped_lock lock(fake().mutex);
  return to_host(at, bytes, current);
}
int fake_cuda_enqueue(void* stream, const std::function<void()>& work) {
  const std::scoped_lock lock(fake().mutex);
  return enqueue(static_cast<Stream*>(stream), work);
}
void fake_cuda_memory(std::size_t bytes) {
  const std::scoped_lock lock(fake().mutex);
  fake().memory = bytes;
}

Status cuGetErrorName(Status e, const char** name) {
  static const std::map<Status, const char*> names{
      {0, "CUDA_SUCCESS"},
      {1, "CUDA_ERROR_INVALID_VALUE"},
      {2, "CUDA_ERROR_OUT_OF_MEMORY"},
      {3, "CUDA_ERROR_NOT_INITIALIZED"},
      {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
      {100, "CUDA_ERROR_NO_DEVICE"},
      {101, "CUDA_ERROR_INVALID_DEVICE"},
      {200, "CUDA_ERROR_INVALID_IMAGE"},
      {201, "CUDA_ERROR_INVALID_CONTEXT"},
      {400, "CUDA_ERROR_INVALID_HANDLE"},
      {500, "CUDA_ERROR_NOT_FOUND"},
      {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {719, "CUDA_ERROR_LAUNCH_FAILED"},
      {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
  const auto it = names.find(e);
  *name = it == names.end() ? nullptr : it->second;
  return it == names.end() ? invalid_value : success;
}
Status cuGetErrorString(Status e, const char** text) {
  static thread_local std::string last;
  last = "error " + std::to_string(e) + " of the stand-in";
  if (e == launch_failed && !fake().report.empty()) last += ": " + fake().report;
  *text = last.c_str();
  return success;
}

Status cuInit(unsigned) {
  return call("cuInit", [] {
    fake().ready = true;
    cuda_host_memory(find_block);
    return success;
  });
}
Status cuDeviceGetCount(int* count) {
  return call("cuDeviceGetCount", [&] {
    *count = devices();
    return success;
  });
}
Status cuDeviceGet(int* device, int number) {
  return call("cuDeviceGet", [&] {
    *device = number;
    return number < devices() ? success : invalid_device;
  });
}
Status cuDeviceGetAttribute(int* value, int attribute, int device) {
  return call("cuDeviceGetAttribute", [&] {
    switch (attribute) {
      case 16: *value = device == 0 ? 132 : 4; break;             // multiprocessors
      case 38: *value = device == 0 ? 50 << 20 : 1 << 20; break;  // bytes of their cache
      case 97: *value = 227 << 10; break;  // of shared memory, for a block that asks for it
      case 75: *value = device == 0 ? 9 : 8; break;  // capability 9.0, or 8.0
      case 76: *value = 0; break;
      case 115: *value = device == 0; break;  // memory pools
      default: *value = 1; break;
    }
    return success;
  });
}
Status cuDevicePrimaryCtxRetain(void** context, int device) {
  return call("cuDevicePrimaryCtxRetain", [&] {
    *context = reinterpret_cast<void*>(static_cast<std::uintptr_t>(device) + 1);
    return success;
  });
}
Status cuCtxSetCurrent(void* context) {
  return call("cuCtxSetCurrent", [&] {
    current = static_cast<int>(reinterpret_cast<std::uintptr_t>(context)) - 1;
    return success;
  });
}

// ---- memory -------------------------------------------------------------------------------------

Status cuMemGetInfo_v2(std::size_t* left, std::size_t* all) {
  return call("cuMemGetInfo_v2", [&] {
    *all = fake().memory;
    *left = *all - std::min(*all, fake().counts.used);
    return success;
  });
}
Status cuMemAlloc_v2(Pointer* at, std::size_t bytes) {
  return call("cuMemAlloc_v2", [&] { return records ? capture_unsupported : allocate(at, bytes); });
}
Status cuMemAllocAsync(Pointer* at, std::size_t bytes, Stream* stream) {
  return call("cuMemAllocAsync", [&] {
    if (!stream || stream->device != current) return invalid_handle;
    if (stream->device == 1) return not_supported;
    return stream->capturing ? capture_unsupported : allocate(at, bytes);
  });
}
Status cuMemFree_v2(Pointer at) {
  return call("cuMemFree_v2", [&] {
    if (records) return capture_unsupported;
    finish_all();
    const auto gone = forget(at);
    if (gone) gone();
    return gone ? success : invalid_value;
  });
}
Status cuMemFreeAsync(Pointer at, Stream* stream) {
  return call("cuMemFreeAsync", [&] {
    if (!stream || stream->capturing) return invalid_handle;
    auto gone = forget(at);
    return gone ? enqueue(stream, std::move(gone)) : invalid_value;
  });
}
Status cuMemHostAlloc(void** at, std::size_t bytes, unsigned) {
  return call("cuMemHostAlloc", [&] {
    if (records) return capture_unsupported;
    *at = std::malloc(bytes);
    if (*at) fake().live.emplace(reinterpret_cast<Pointer>(*at), bytes);   // kernels may reach it
    return *at ? success : out_of_memory;
  });
}

Status cuMemcpyHtoDAsync_v2(Pointer to, const void* from, std::size_t bytes, Stream* stream) {
  return call("cuMemcpyHtoDAsync_v2", [&] {
    if (!stream || stream->capturing) return capture_unsupported;
    void* const at = to_host(to, bytes, stream->device);
    if (!at) return invalid_value;
    ++fake().counts.uploads;
    return enqueue(stream, [=] { std::memcpy(at, from, bytes); });
  });
}
Status cuMemcpyDtoHAsync_v2(void* to, Pointer from, std::size_t bytes, Stream* stream) {
  return call("cuMemcpyDtoHAsync_v2", [&] {
    if (!stream || stream->capturing) return capture_unsupported;
    const void* const at = to_host(from, bytes, stream->device);
    if (!at) return invalid_value;
    ++fake().counts.downloads;
    fake().counts.downloaded += static_cast<long>(bytes);
    return enqueue(stream, [=] { std::memcpy(to, at, bytes); });
  });
}
Status cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, std::size_t bytes, Stream* stream) {
  return call("cuMemcpyDtoDAsync_v2", [&] {
    if (!stream) return invalid_handle;
    void* const out = to_host(to, bytes, stream->device);
    const void* const in = to_host(from, bytes, stream->device);
    if (!out || !in) return invalid_value;
    ++fake().counts.copies;
    return enqueue(stream, [=] { std::memmove(out, in, bytes); });
  });
}
Status cuMemcpyPeerAsync(Pointer to, void* to_context, Pointer from, void* from_context,
                         std::size_t bytes, Stream* stream) {
  return call("cuMemcpyPeerAsync", [&] {
    const auto device = [](void* context) {
      return static_cast<int>(reinterpret_cast<std::uintptr_t>(context)) - 1;
    };
    if (!stream || stream->capturing) return invalid_handle;
    void* const out = to_host(to, bytes, device(to_context));
    const void* const in = to_host(from, bytes, device(from_context));
    if (!out || !in) return invalid_value;
    ++fake().counts.copies;
    return enqueue(stream, [=] { std::memcpy(out, in, bytes); });
  });
}
Status cuMemsetD8Async(Pointer at, unsigned char value, std::size_t bytes, Stream* stream) {
  return call("cuMemsetD8Async", [&] {
    if (!stream) return invalid_handle;
    void* const host = to_host(at, bytes, stream->device);
    if (!host) return invalid_value;
    return enqueue(stream, [=] { std::memset(host, value, bytes); });
  });
}

// ---- order --------------------------------------------------------------------------------------

Status cuStreamCreate(Stream** stream, unsigned) {
  return call("cuStreamCreate", [&] {
    if (current < 0) return invalid_context;
    *stream = new Stream{current};
    fake().streams.insert(*stream);
    return success;
  });
}
Status cuStreamSynchronize(Stream* stream) {
  return call("cuStreamSynchronize", [&] {
    if (stream->capturing) return capture_unsupported;
    fake().counts.synchronizations += !stream->items.empty();
    finish(*stream);
    return fake().broken;
  });
}
Status cuEventCreate(Event** event, unsigned) {
  return call("cuEventCreate", [&] {
    if (current < 0) return invalid_context;
    *event = new Event{current};
    return success;
  });
}
Status cuEventRecord(Event* event, Stream* stream) {
  return call("cuEventRecord", [&] {
    if (!event || !stream || event->device != stream->device) return invalid_handle;
    if (stream->capturing) return capture_unsupported;
    // Recorded elsewhere before: what waits for that must find it done.
    if (event->stream && event->stream != stream)
      while (event->reached < event->recorded) step(*event->stream);
    event->stream = stream;
    stream->items.push_back(
        {.kind = Item::Kind::reach, .event = event, .number = ++event->recorded});
    return success;
  });
}
Status cuEventSynchronize(Event* event) {
  return call("cuEventSynchronize", [&] {
    if (!event) return invalid_handle;
    fake().counts.synchronizations += event->reached < event->recorded;
    while (event->reached < event->recorded) step(*event->stream);
    return fake().broken;
  });
}
Status cuEventQuery(Event* event) {
  return call("cuEventQuery", [&] {
    if (!event) return invalid_handle;
    return event->reached < event->recorded ? not_ready : success;
  });
}
Status cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
  return call("cuStreamWaitEvent", [&] {
    if (!event || !stream) return invalid_handle;
    if (stream->capturing) return capture_unsupported;
    if (event->stream)
      stream->items.push_back(
          {.kind = Item::Kind::follow, .event = event, .number = event->recorded});
    return success;
  });
}

// ---- code ---------------------------------------------------------------------------------------

Status cuModuleLoadData(Module** module, const void* image) {
  return call("cuModuleLoadData", [&] {
    if (current < 0) return invalid_context;
    if (records) return capture_unsupported;
    std::uint64_t size = 0;
    std::memcpy(&size, image, sizeof size);
    const char* const code = static_cast<const char*>(image) + sizeof size;
    if (size > (std::uint64_t{1} << 30) || std::memcmp(code, "\177ELF", 4) != 0)
      return invalid_image;
    // A file with a name of its own: the loader takes files of one name for one library.
    char name[] = "/tmp/fake_cubin_XXXXXX";
    const int file = mkstemp(name);
    if (file < 0) return invalid_image;
    const bool written = write(file, code, size) == static_cast<ssize_t>(size);
    void* const library = written ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : nullptr;
    unlink(name);
    close(file);
    if (!library) return invalid_image;
    *module = new Module{library, current};
    ++fake().counts.loads, ++fake().alive.modules;
    return success;
  });
}
Status cuModuleUnload(Module* module) {
  return call("cuModuleUnload", [&] {
    if (module->device != current) return invalid_context;
    if (records) return capture_unsupported;
    std::erase_if(fake().kernels, [&](const auto& k) { return k.first.first == module; });
    dlclose(module->library);   // a kernel of its that has not run yet would be a fault
    delete module;
    --fake().alive.modules;
    return success;
  });
}
Status cuModuleGetFunction(Kernel** function, Module* module, const char* name) {
  return call("cuModuleGetFunction", [&] {
    const auto find = [&](const std::string& what) {
      return dlsym(module->library, ("fake_" + what).c_str());
    };
    const auto parameters = reinterpret_cast<Parameters (*)()>(find("parameters_" + std::string(name)));
    const auto memory = reinterpret_cast<const CudaHostModule* (*)()>(find("module"));
    if (!parameters || !memory) return not_found;
    Kernel& kernel = fake().kernels[{module, name}];   // a handle need not be freed
    kernel = {name, parameters(),
              reinterpret_cast<void (*)(void**)>(find("call_" + std::string(name))), memory(),
              module->device, kernel.shared_limit};
    *function = &kernel;
    return success;
  });
}
Status cuFuncSetAttribute(Kernel* function, int attribute, int value) {
  return call("cuFuncSetAttribute", [&] {
    if (attribute != dynamic_shared_limit || value > most_shared) return invalid_value;
    function->shared_limit = value;
    return success;
  });
}
Status cuLaunchKernel(const Kernel* function, unsigned grid, unsigned grid_y, unsigned grid_z,
                      unsigned threads, unsigned threads_y, unsigned threads_z, unsigned shared,
                      Stream* stream, void** arguments, void** extra) {
  return call("cuLaunchKernel", [&] {
    if (!stream || grid == 0 || threads == 0 || threads > 1024 || grid_y * grid_z != 1 ||
        threads_y * threads_z != 1 || extra)
      return invalid_value;
    if (shared > static_cast<unsigned>(function->shared_limit)) return invalid_value;
    if (stream->device != current || function->device != current) return invalid_handle;
    const auto launch = std::make_shared<const Launch>(*function, grid, threads, shared, arguments);
    if (fake().broken) return success;  // the launch is fine; what waits for it is told
    ++fake().counts.launches;
    return enqueue(stream, [=] { launch->run(); });
  });
}

// ---- recordings ---------------------------------------------------------------------------------

using GraphRef = std::shared_ptr<Graph>;

Status cuStreamBeginCapture_v2(Stream* stream, int mode) {
  return call("cuStreamBeginCapture_v2", [&] {
    if (stream->capturing || records || mode != 1) return capture_unsupported;
    stream->capturing = std::make_shared<Graph>();
    stream->capturing->device = stream->device;
    records = true;   // what may fail for that is this thread's, and no other's
    return success;
  });
}
Status cuStreamEndCapture(Stream* stream, GraphRef** graph) {
  // Ends even where it fails.
  const std::scoped_lock lock(fake().mutex);
  const GraphRef recorded = std::exchange(stream->capturing, nullptr);
  if (recorded && !std::exchange(records, false)) return capture_wrong_thread;
  *graph = nullptr;
  if (const Status e = enter("cuStreamEndCapture")) return e;
  if (!recorded) return invalid_value;
  if (!is_joined(*recorded)) return capture_unjoined;
  *graph = new GraphRef(recorded);
  ++fake().alive.graphs;
  return success;
}
/// A node's handle: its number and one.
Status cuStreamGetCaptureInfo_v2(Stream* stream, int* state, unsigned long long*, void** graph,
                                 const void*** nodes, std::size_t* count) {
  return call("cuStreamGetCaptureInfo_v2", [&] {
    if (!stream->capturing) return invalid_value;
    static thread_local std::vector<const void*> handles;
    handles.clear();
    for (const std::size_t n : stream->capturing->newest)
      handles.push_back(reinterpret_cast<const void*>(n + 1));
    *state = 1, *graph = stream->capturing.get();
    *nodes = handles.data(), *count = handles.size();
    return success;
  });
}
Status cuStreamGetCaptureInfo_v3(Stream* stream, int* state, unsigned long long* id, void** graph,
                                 const void*** nodes, const void** data, std::size_t* count) {
  return call("cuStreamGetCaptureInfo_v3", [&] {
    *data = nullptr;
    return cuStreamGetCaptureInfo_v2(stream, state, id, graph, nodes, count);
  });
}
Status cuStreamUpdateCaptureDependencies(Stream* stream, void** nodes, std::size_t count,
                                         unsigned flags) {
  return call("cuStreamUpdateCaptureDependencies", [&] {
    if (!stream->capturing || flags != 1) return invalid_value;
    std::vector<std::size_t> newest;
    for (std::size_t i = 0; i < count; ++i) {
      newest.push_back(reinterpret_cast<std::size_t>(nodes[i]) - 1);
      if (newest.back() >= stream->capturing->nodes.size()) return invalid_value;
      if (std::ranges::count(newest, newest.back()) > 1) return invalid_value;
    }
    stream->capturing->newest = std::move(newest);
    return success;
  });
}
/// Of a lost device, too.
Status cuGraphDestroy(GraphRef* graph) {
  const std::scoped_lock lock(fake().mutex);
  delete graph;
  --fake().alive.graphs;
  return enter("cuGraphDestroy");
}
Status cuGraphInstantiateWithFlags(GraphRef** made, GraphRef* graph, unsigned long long) {
  return call("cuGraphInstantiateWithFlags", [&] {
    *made = new GraphRef(*graph);
    ++fake().counts.captures, ++fake().alive.graphs;
    fake().counts.nodes += static_cast<long>((*graph)->nodes.size());
    for (const Node& node : (*graph)->nodes)
      fake().counts.waits += static_cast<long>(node.waits.size());
    return success;
  });
}
Status cuGraphLaunch(GraphRef* graph, Stream* stream) {
  return call("cuGraphLaunch", [&] {
    if (!stream || stream->capturing || stream->device != (*graph)->device) return invalid_handle;
    ++fake().counts.graph_launches;
    return enqueue(stream, [recorded = *graph] {
      replay(*recorded);
    });
  });
}
Status cuGraphExecDestroy(GraphRef* graph) { return cuGraphDestroy(graph); }
}
