# SPDX-License-Identifier: BSD-3-Clause
# How every target of the project is built: warnings, sanitizers, hardening. And the two functions that declare a library and a test.

add_library(netns_helper_build INTERFACE)
target_include_directories(netns_helper_build INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(netns_helper_build INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Wconversion -Wno-sign-conversion
  -Woverloaded-virtual -Wvla -fstack-protector-strong -fPIE)
if(NETNS_HELPER_WERROR)
  target_compile_options(netns_helper_build INTERFACE -Werror)
endif()
if(NETNS_HELPER_SANITIZE)
  target_compile_options(netns_helper_build INTERFACE -fsanitize=${NETNS_HELPER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(netns_helper_build INTERFACE -fsanitize=${NETNS_HELPER_SANITIZE})
  target_compile_definitions(netns_helper_build INTERFACE NETNS_HELPER_SANITIZED=1)
else()
  target_compile_options(netns_helper_build INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
  if(NETNS_HELPER_STATIC_RUNTIME)
    target_link_options(netns_helper_build INTERFACE -static-libstdc++ -static-libgcc)
  endif()
endif()
target_link_options(netns_helper_build INTERFACE -pie -Wl,-z,relro -Wl,-z,noexecstack -Wl,--as-needed -Wl,--gc-sections)
target_compile_options(netns_helper_build INTERFACE -ffunction-sections -fdata-sections)
target_compile_definitions(netns_helper_build INTERFACE _GNU_SOURCE)

# netns_version(SOURCE...): these files know the version, NETNS_HELPER_VERSION. No others: a new version compiles little anew.
function(netns_version)
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_DEFINITIONS NETNS_HELPER_VERSION="${PROJECT_VERSION}")
endfunction()

# precompiled_headers(NAME HEADER...): precompiles the headers for the targets that call use_precompiled_headers(TARGET NAME), which need
# the same options as NAME. A source still includes what it uses: nothing is precompiled without NETNS_HELPER_PRECOMPILE, or by clang.
function(precompiled_headers name)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc CONTENT "")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  target_link_libraries(${name} PRIVATE netns_helper_build)
  if(NETNS_HELPER_PRECOMPILE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_precompile_headers(${name} PRIVATE ${ARGN})
  endif()
endfunction()

function(use_precompiled_headers target name)
  if(NETNS_HELPER_PRECOMPILE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_precompile_headers(${target} REUSE_FROM ${name})
    target_compile_options(${target} PRIVATE -fpch-preprocess)  # ccache needs it
    # GCC 12 warns of its own library's strings when it optimises (GCC bugs 105329, 105651). That these headers are the system's, whose
    # warnings are not shown, is lost in a precompiled one.
    if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
    endif()
  endif()
endfunction()

# What most sources include, directly or by the standard library itself.
set(standard_headers <algorithm> <array> <chrono> <functional> <map> <memory> <optional> <set> <span> <string> <string_view>
  <unordered_map> <utility> <variant> <vector>)
precompiled_headers(standard_precompiled ${standard_headers})
precompiled_headers(json_precompiled ${standard_headers} <nlohmann/json.hpp>)
target_link_libraries(json_precompiled PRIVATE nlohmann_json::nlohmann_json)

# netns_library(NAME [JSON] SOURCES a.cc b.cc USES lib1 lib2): the static library of one folder; JSON: most of it includes nlohmann-json.
# With CMAKE_UNITY_BUILD each folder is compiled as one source: no two files of a folder give one name to things of their own.
function(netns_library name)
  cmake_parse_arguments(ARG "JSON" "" "SOURCES;USES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC netns_helper_build ${ARG_USES})
  if(ARG_JSON)
    use_precompiled_headers(${name} json_precompiled)
  else()
    use_precompiled_headers(${name} standard_precompiled)
  endif()
  # GCC's manual says of -fsanitize that it makes this warning wrong more often, and advises against -Werror with it.
  if(NETNS_HELPER_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${name} PRIVATE -Wno-maybe-uninitialized)
  endif()
  set_target_properties(${name} PROPERTIES UNITY_BUILD_MODE GROUP)
  foreach(source ${ARG_SOURCES})
    get_filename_component(folder ${source} DIRECTORY)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP "${name}_${folder}")
  endforeach()
endfunction()

# netns_unit_test(NAME SOURCES a_test.cc USES lib): one Catch2 program; ctest runs it whole, under the name unit.NAME.
function(netns_unit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE netns_helper_build ${ARG_USES} catch_main)
  # Catch2's macros take most of a build's time to optimise, for nothing; what is tested is optimised as it is released.
  target_compile_options(${name} PRIVATE -U_FORTIFY_SOURCE -O0)
  use_precompiled_headers(${name} catch_precompiled)
  add_test(NAME unit.${name} COMMAND ${name})
  set_tests_properties(unit.${name} PROPERTIES TIMEOUT 120 SKIP_RETURN_CODE 77 LABELS unit)
endfunction()

# prefer_archives(PREFIX lib...): the target netns_PREFIX links these libraries' archives if all are installed, else what pkg-config says.
function(prefer_archives prefix)
  string(TOLOWER netns_${prefix} target)
  add_library(${target} INTERFACE)
  set(archives)
  foreach(name ${ARGN})
    find_library(${prefix}_${name}_ARCHIVE lib${name}.a)
    list(APPEND archives ${${prefix}_${name}_ARCHIVE})
  endforeach()
  if(NETNS_HELPER_STATIC_NETLINK AND NOT NETNS_HELPER_SANITIZE AND NOT "${archives}" MATCHES NOTFOUND)
    target_include_directories(${target} SYSTEM INTERFACE ${${prefix}_INCLUDE_DIRS})
    target_link_libraries(${target} INTERFACE ${archives} m)
  else()
    target_link_libraries(${target} INTERFACE PkgConfig::${prefix})
  endif()
endfunction()
