// The double of libhiprtc: g++ compiles a kernel source for this CPU, behind prelude.h. The code object is a shared
// library that only the double of HIP loads.
#ifdef REAL_HEADERS
#define __HIP_PLATFORM_AMD__ 1
#include <hip/hiprtc.h>
#endif
#include "double.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <vector>

static_assert(HIPRTC_ERROR_INVALID_PROGRAM == 4 && HIPRTC_ERROR_INVALID_OPTION == 5 && HIPRTC_ERROR_COMPILATION == 6);

namespace fs = std::filesystem;
struct _hiprtcProgram {
  std::string source, name, log, code;
};

namespace {
std::string read(const fs::path& path) {
  std::stringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  return all.str();
}
fs::path here() {
  Dl_info info;
  dladdr((void*)&here, &info);
  return fs::absolute(info.dli_fname).parent_path();
}

// Runs a command; what it says on its error output goes to `said`.
bool run(std::vector<std::string> words, const fs::path& said) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 2, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child;
  int status = -1;
  const int failed = posix_spawnp(&child, argv[0], &files, nullptr, argv.data(), environ);
  while (!failed && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  posix_spawn_file_actions_destroy(&files);
  return !failed && status == 0;
}

hiprtcResult compile(_hiprtcProgram& p, int count, const char** options) {
  std::string arch;
  for (int i = 0; i < count; i++) {
    const std::string option = options[i], wanted = "--offload-arch=";
    if (option.rfind(wanted, 0) != 0)
      return p.log = "the double does not know the option " + option + "\n", HIPRTC_ERROR_INVALID_OPTION;
    arch = option.substr(wanted.size());
  }
  arch = arch.substr(0, arch.find(':'));
  if (!std::regex_match(arch, std::regex("gfx[0-9a-f]{3,4}")))
    return p.log = "no architecture: the real hiprtc may end the process here\n", HIPRTC_ERROR_COMPILATION;

  std::string folder = (fs::temp_directory_path() / "hiprtc-double-XXXXXX").string();
  if (!mkdtemp(folder.data())) return HIPRTC_ERROR_INTERNAL_ERROR;
  const fs::path work = folder, source = work / "source.cpp", unit = work / "unit.cpp", object = work / "unit.so",
                 said = work / "said";
  std::ofstream(source) << "#include \"" << (here() / "prelude.h").string() << "\"\n#line 1 \"" << p.name << "\"\n"
                        << p.source << "\n";
  // As in hiprtc there are no standard headers, and no exceptions.
  std::istringstream flags(
      "g++ -std=c++17 -O2 -march=native -ffp-contract=off -fno-math-errno -fPIC -fvisibility=hidden -fno-exceptions "
      "-fno-rtti -fno-threadsafe-statics -nostdinc -nostdinc++ -w -x c++");
  std::vector<std::string> preprocess(std::istream_iterator<std::string>(flags), {}), build = preprocess;
  preprocess.insert(preprocess.end(), {"-E", source.string(), "-o", unit.string()});
  build.insert(build.end(), {"-shared", unit.string(), "-o", object.string(), "-lm", "-Wl,-z,defs"});
  bool good = run(preprocess, said);
  if (good) {
    // The kernels are found where macros are written out, and entered in the module's table behind the source.
    // Its __shared__ variables are made known to the double: see the prelude.
    std::string text = read(unit);
    const std::regex kernel(R"re(extern\s+"C"\s+__attribute__\(\(visibility\("default"\)\)\)\s+void\s+(\w+)\s*\()re");
    const std::regex shared(R"re(__shared__\s+([^;\[]*?)(\w+)\s*((\[[^\]]*\])*)\s*;)re");
    text = std::regex_replace(text, shared, "static $1 $2$3; static double_met $2_met(&$2, sizeof $2);");
    std::ofstream table(unit);
    table << text << "static constexpr double_kernel double_kernels[] = {\n";
    unsigned kernels = 0;
    for (std::sregex_iterator i(text.begin(), text.end(), kernel), end; i != end; ++i, ++kernels)
      table << "double_of<&" << (*i)[1] << ">::kernel(\"" << (*i)[1] << "\"),\n";
    table << "{}};\nextern \"C\" __attribute__((visibility(\"default\"))) const double_module double_table = {\""
          << arch << "\", &double_rt, double_kernels, " << kernels << ", &double_shared_list};\n";
    table.close();
    good = run(build, said);
  }
  p.log = read(said);
  p.code = good ? read(object) : "";
  fs::remove_all(work);
  return good ? HIPRTC_SUCCESS : HIPRTC_ERROR_COMPILATION;
}

template <class Body>
hiprtcResult call(const char* name, Body body) {
  const int planned = double_enter(name);
  return planned ? hiprtcResult(planned) : body();
}
}  // namespace

extern "C" {
hiprtcResult hiprtcVersion(int* major, int* minor) {
  return call(__func__, [&] {
    *major = *minor = 0;
    return HIPRTC_SUCCESS;
  });  // no release's: its code objects are no GPU's
}
hiprtcResult hiprtcCreateProgram(hiprtcProgram* out, const char* source, const char* name, int headers, const char**,
                                 const char**) {
  return call(__func__, [&] {
    if (!out || !source || headers) return HIPRTC_ERROR_INVALID_INPUT;
    *out = new _hiprtcProgram{source, name ? name : "kernel", "", ""};
    return HIPRTC_SUCCESS;
  });
}
hiprtcResult hiprtcDestroyProgram(hiprtcProgram* p) {
  return call(__func__, [&] {
    if (!p || !*p) return HIPRTC_ERROR_INVALID_PROGRAM;
    delete *p;
    *p = nullptr;
    return HIPRTC_SUCCESS;
  });
}
hiprtcResult hiprtcCompileProgram(hiprtcProgram p, int count, const char** options) {
  return call(__func__, [&] { return p ? compile(*p, count, options) : HIPRTC_ERROR_INVALID_PROGRAM; });
}
hiprtcResult hiprtcGetProgramLogSize(hiprtcProgram p, size_t* size) {
  return call(__func__, [&] {
    *size = p->log.size() + 1;
    return HIPRTC_SUCCESS;
  });
}
hiprtcResult hiprtcGetProgramLog(hiprtcProgram p, char* out) {
  return call(__func__, [&] {
    memcpy(out, p->log.c_str(), p->log.size() + 1);
    return HIPRTC_SUCCESS;
  });
}
hiprtcResult hiprtcGetCodeSize(hiprtcProgram p, size_t* size) {
  return call(__func__, [&] { return (*size = p->code.size()) ? HIPRTC_SUCCESS : HIPRTC_ERROR_INVALID_PROGRAM; });
}
hiprtcResult hiprtcGetCode(hiprtcProgram p, char* out) {
  return call(__func__, [&] {
    memcpy(out, p->code.data(), p->code.size());
    return HIPRTC_SUCCESS;
  });
}
const char* hiprtcGetErrorString(hiprtcResult result) {
  switch (result) {
    case HIPRTC_SUCCESS: return "HIPRTC_SUCCESS";
    case HIPRTC_ERROR_INVALID_INPUT: return "HIPRTC_ERROR_INVALID_INPUT";
    case HIPRTC_ERROR_INVALID_PROGRAM: return "HIPRTC_ERROR_INVALID_PROGRAM";
    case HIPRTC_ERROR_INVALID_OPTION: return "HIPRTC_ERROR_INVALID_OPTION";
    case HIPRTC_ERROR_COMPILATION: return "HIPRTC_ERROR_COMPILATION";
    default: return "HIPRTC_ERROR_INTERNAL_ERROR";
  }
}
}
