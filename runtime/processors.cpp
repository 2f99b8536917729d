#include "runtime/processors.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

namespace weft::runtime {
namespace {

/// Processors of one folder's quota (v2: "max 100000", "150000 100000"); no limit where there is
/// none.
double quota(const std::string& folder) {
  double limit = 0, period = 0;
  if (std::ifstream v2(folder + "/cpu.max"); v2) {
    v2 >> limit >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> limit;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return limit > 0 && period > 0 ? limit / period : std::numeric_limits<double>::infinity();
}

/// The smallest quota of a group and of those around it. Inside a container a group's own path may
/// not be there; its controller's folder is.
double quota_of(const std::string& mount, std::string group) {
  double least = quota(mount);
  for (; group.size() > 1; group.resize(group.rfind('/'))) {
    least = std::min(least, quota(mount + group));
    if (group.rfind('/') == std::string::npos) break;
  }
  return least;
}

bool names_cpu(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

}  // namespace

int usable_processors(const std::string& root) {
  cpu_set_t set;
  CPU_ZERO(&set);
  double count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                             : std::thread::hardware_concurrency();
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:/path
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (controllers.empty())
      count = std::min(count, quota_of(mount, group));
    else if (names_cpu(controllers))
      for (const std::string& folder : {controllers, std::string("cpu")})
        count = std::min(count, quota_of(mount + "/" + folder, group));
  }
  return std::max(1, static_cast<int>(std::ceil(count - 0.001)));
}

}  // namespace weft::runtime
