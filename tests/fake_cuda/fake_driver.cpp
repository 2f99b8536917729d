// A stand-in for the CUDA driver over the host's memory: see control.h. FAKE_CUDA_DEVICES says how
// many devices there are (else two).
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control.h"

namespace {

using Status = int;
using Pointer = unsigned long long;
constexpr Status success = 0, invalid_value = 1, out_of_memory = 2, not_initialized = 3,
                 invalid_device = 101, invalid_image = 200, not_found = 500,
                 capture_unsupported = 900, illegal_address = 700;
constexpr Pointer mark = Pointer{1} << 62;
constexpr int dynamic_shared_limit = 8, default_shared = 48 * 1024, most_shared = 227 * 1024;

using Work = std::function<void()>;
struct Graph {
  std::vector<Work> work;
};
struct Stream {
  Graph* capturing = nullptr;
};
struct Module {
  void* library = nullptr;
};
using Bound = std::function<void(unsigned, unsigned)>;
using ToHost = void* (*)(Pointer);
using Bind = void* (*)(void** arguments, ToHost to_host);

struct Fake {
  std::recursive_mutex mutex;
  std::map<Pointer, std::size_t> blocks;   // by the host's address
  std::map<std::string, std::pair<int, Status>> failures;
  FakeCudaCounts counts{};
  std::map<void*, int> shared_limits;      // by kernel, where one was set
  std::size_t memory = std::size_t{1} << 30;
  Status lost = success, broken = success;   // broken: by a kernel, for good
  bool ready = false;
};

Fake& fake() {
  static auto& the = *new Fake;
  return the;
}

/// Null unless all of these bytes were allocated.
void* to_host(Pointer at, std::size_t bytes) {
  const Pointer host = at & ~mark;
  if (!(at & mark)) return nullptr;
  auto it = fake().blocks.upper_bound(host);
  if (it == fake().blocks.begin()) return nullptr;
  --it;
  return host + bytes <= it->first + it->second ? reinterpret_cast<void*>(host) : nullptr;
}

void* argument_to_host(Pointer at) {
  if (at == 0) return nullptr;
  void* const found = to_host(at, 0);
  if (!found) fake().broken = illegal_address;
  return found;
}

int devices() {
  const char* asked = std::getenv("FAKE_CUDA_DEVICES");
  return asked ? std::atoi(asked) : 2;
}

/// What happens before every call: injected errors.
Status enter(const char* function) {
  Fake& f = fake();
  if (f.lost) return f.lost;
  if (f.broken) return f.broken;
  if (!f.ready && std::strcmp(function, "cuInit") != 0) return not_initialized;
  const auto it = f.failures.find(function);
  if (it == f.failures.end() || --it->second.first > 0) return success;
  const Status error = it->second.second;
  f.failures.erase(it);
  return error;
}

/// Now, or when the graph that is being recorded runs.
void enqueue(Stream* stream, Work work) {
  if (stream && stream->capturing)
    stream->capturing->work.push_back(std::move(work));
  else
    work();
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
void fake_cuda_fail(const char* function, int n, int error) {
  const std::scoped_lock lock(fake().mutex);
  fake().failures[function] = {n, error};
}
void fake_cuda_lose(int error) {
  const std::scoped_lock lock(fake().mutex);
  fake().lost = error;
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
  *text = last.c_str();
  return success;
}

Status cuInit(unsigned) {
  return call("cuInit", [] {
    fake().ready = true;
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
Status cuDeviceGetName(char* name, int length, int) {
  std::strncpy(name, "stand-in", static_cast<std::size_t>(length));
  return success;
}
Status cuDeviceGetAttribute(int* value, int attribute, int) {
  return call("cuDeviceGetAttribute", [&] {
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1;  // capability 9.0, one multiprocessor
    return success;
  });
}
Status cuDevicePrimaryCtxRetain(void** context, int device) {
  return call("cuDevicePrimaryCtxRetain", [&] {
    *context = reinterpret_cast<void*>(static_cast<std::uintptr_t>(device) + 1);
    return success;
  });
}
Status cuCtxSetCurrent(void*) {
  return call("cuCtxSetCurrent", [] { return success; });
}

Status cuMemGetInfo_v2(std::size_t* left, std::size_t* all) {
  return call("cuMemGetInfo_v2", [&] {
    *all = fake().memory;
    *left = *all - std::min(*all, fake().counts.used);
    return success;
  });
}
Status cuMemAlloc_v2(Pointer* at, std::size_t bytes) {
  return call("cuMemAlloc_v2", [&] {
    Fake& f = fake();
    if (bytes == 0) return invalid_value;
    if (f.counts.used + bytes > f.memory) return out_of_memory;
    void* const host = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!host) return out_of_memory;
    std::memset(host, 0xA5, bytes);  // so that what nobody wrote shows
    f.blocks.emplace(reinterpret_cast<Pointer>(host), bytes);
    ++f.counts.allocations, f.counts.used += bytes;
    *at = reinterpret_cast<Pointer>(host) | mark;
    return success;
  });
}
Status cuMemFree_v2(Pointer at) {
  return call("cuMemFree_v2", [&] {
    Fake& f = fake();
    const auto it = f.blocks.find(at & ~mark);
    if (it == f.blocks.end() || !(at & mark)) return invalid_value;
    std::memset(reinterpret_cast<void*>(it->first), 0xDD, it->second);
    std::free(reinterpret_cast<void*>(it->first));
    f.counts.used -= it->second;
    f.blocks.erase(it);
    return success;
  });
}
Status cuMemHostAlloc(void** at, std::size_t bytes, unsigned) {
  return call("cuMemHostAlloc", [&] {
    *at = std::malloc(bytes);
    return *at ? success : out_of_memory;
  });
}

Status cuMemcpyHtoDAsync_v2(Pointer to, const void* from, std::size_t bytes, Stream* stream) {
  return call("cuMemcpyHtoDAsync_v2", [&] {
    void* const at = to_host(to, bytes);
    if (!at || !stream) return invalid_value;
    if (stream->capturing) return capture_unsupported;
    std::memcpy(at, from, bytes);
    ++fake().counts.uploads;
    return success;
  });
}
Status cuMemcpyDtoHAsync_v2(void* to, Pointer from, std::size_t bytes, Stream* stream) {
  return call("cuMemcpyDtoHAsync_v2", [&] {
    const void* const at = to_host(from, bytes);
    if (!at || !stream) return invalid_value;
    if (stream->capturing) return capture_unsupported;
    std::memcpy(to, at, bytes);
    ++fake().counts.downloads;
    return success;
  });
}
Status cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, std::size_t bytes, Stream* stream) {
  return call("cuMemcpyDtoDAsync_v2", [&] {
    void* const out = to_host(to, bytes);
    const void* const in = to_host(from, bytes);
    if (!out || !in || !stream) return invalid_value;
    enqueue(stream, [=] { std::memmove(out, in, bytes); });
    ++fake().counts.copies;
    return success;
  });
}
Status cuMemsetD8Async(Pointer at, unsigned char value, std::size_t bytes, Stream* stream) {
  return call("cuMemsetD8Async", [&] {
    void* const host = to_host(at, bytes);
    if (!host || !stream) return invalid_value;
    enqueue(stream, [=] { std::memset(host, value, bytes); });
    return success;
  });
}

Status cuStreamCreate(Stream** stream, unsigned) {
  return call("cuStreamCreate", [&] {
    *stream = new Stream;
    return success;
  });
}
Status cuStreamSynchronize(Stream* stream) {
  return call("cuStreamSynchronize",
              [&] { return stream->capturing ? capture_unsupported : success; });
}
Status cuEventCreate(void** event, unsigned) {
  return call("cuEventCreate", [&] {
    *event = new char;
    return success;
  });
}
Status cuEventRecord(void*, Stream*) {
  return call("cuEventRecord", [] { return success; });
}
Status cuEventSynchronize(void*) {
  return call("cuEventSynchronize", [] { return success; });
}

Status cuModuleLoadData(Module** module, const void* image) {
  return call("cuModuleLoadData", [&] {
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
    *module = new Module{library};
    ++fake().counts.loads;
    return success;
  });
}
Status cuModuleUnload(Module* module) {
  return call("cuModuleUnload", [&] {
    dlclose(module->library);
    delete module;
    return success;
  });
}
Status cuModuleGetFunction(void** function, Module* module, const char* name) {
  return call("cuModuleGetFunction", [&] {
    *function = dlsym(module->library, ("fake_bind_" + std::string(name)).c_str());
    return *function ? success : not_found;
  });
}
Status cuFuncSetAttribute(void* function, int attribute, int value) {
  return call("cuFuncSetAttribute", [&] {
    if (attribute != dynamic_shared_limit || value > most_shared) return invalid_value;
    int& limit = fake().shared_limits[function];
    limit = std::max(limit, value);
    return success;
  });
}
Status cuLaunchKernel(void* function, unsigned grid, unsigned grid_y, unsigned grid_z,
                      unsigned threads, unsigned threads_y, unsigned threads_z, unsigned shared,
                      Stream* stream, void** arguments, void** extra) {
  return call("cuLaunchKernel", [&] {
    if (!stream || grid == 0 || threads == 0 || threads > 1024 || grid_y * grid_z != 1 ||
        threads_y * threads_z != 1 || extra)
      return invalid_value;
    const auto limit = fake().shared_limits.find(function);
    if (shared > static_cast<unsigned>(limit == fake().shared_limits.end() ? default_shared
                                                                           : limit->second))
      return invalid_value;
    const std::shared_ptr<Bound> kernel(static_cast<Bound*>(
        reinterpret_cast<Bind>(function)(arguments, argument_to_host)));
    if (fake().broken) return success;  // the launch is fine; what waits for it is told
    enqueue(stream, [=] { (*kernel)(grid, threads); });
    ++fake().counts.launches;
    return success;
  });
}

Status cuStreamBeginCapture_v2(Stream* stream, int) {
  return call("cuStreamBeginCapture_v2", [&] {
    if (stream->capturing) return capture_unsupported;
    stream->capturing = new Graph;
    return success;
  });
}
Status cuStreamEndCapture(Stream* stream, Graph** graph) {
  return call("cuStreamEndCapture", [&] {
    *graph = stream->capturing;
    stream->capturing = nullptr;
    return *graph ? success : invalid_value;
  });
}
Status cuGraphDestroy(Graph* graph) {
  return call("cuGraphDestroy", [&] {
    delete graph;
    return success;
  });
}
Status cuGraphInstantiateWithFlags(Graph** made, Graph* graph, unsigned long long) {
  return call("cuGraphInstantiateWithFlags", [&] {
    *made = new Graph(*graph);
    ++fake().counts.captures;
    return success;
  });
}
Status cuGraphLaunch(Graph* graph, Stream*) {
  return call("cuGraphLaunch", [&] {
    for (const Work& work : graph->work) work();
    ++fake().counts.graph_launches;
    return success;
  });
}
Status cuGraphExecDestroy(Graph* graph) { return cuGraphDestroy(graph); }
}
