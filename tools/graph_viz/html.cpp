#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/graph_viz/render.h"
#include "tools/markup.h"

namespace weft::tools {
namespace {

constexpr const char* style = R"css(
html,body{margin:0;height:100%;font:13px/1.4 "DejaVu Sans",Verdana,sans-serif;color:#243b53;overflow:hidden}
#bar{position:fixed;top:0;left:0;right:0;height:40px;display:flex;gap:12px;align-items:center;padding:0 12px;
  background:#f0f4f8;border-bottom:1px solid #d9e2ec;z-index:2}
#bar b{font-size:14px}#bar input{width:240px;padding:4px 8px;border:1px solid #bcccdc;border-radius:4px;font:inherit}
#bar button{padding:4px 10px;font:inherit}#count{color:#627d98}#bar .hint{margin-left:auto;color:#627d98}
#view{position:fixed;top:41px;left:0;right:0;bottom:0;cursor:grab;background:#fff;user-select:none}#view.drag{cursor:grabbing}
#view svg{width:100%;height:100%}
#info{position:fixed;right:10px;bottom:10px;max-width:46vw;max-height:60vh;overflow:auto;margin:0;padding:10px 12px;
  background:#fffffff0;border:1px solid #bcccdc;border-radius:6px;white-space:pre-wrap;font:12px/1.45 "DejaVu Sans Mono",monospace;
  display:none;z-index:2}
.dim{opacity:.14}.node,.cluster{cursor:pointer}.hit path,.hit polygon{stroke:#e12d39;stroke-width:3}
.up path,.up polygon{stroke:#2186eb;stroke-width:2}.down path,.down polygon{stroke:#de911d;stroke-width:2}
)css";

// The picture is moved through its viewBox. A click shows what a box is computed from (blue) and what depends on it.
constexpr const char* script = R"js(
const view=document.getElementById('view'),svg=view.querySelector('svg'),info=document.getElementById('info'),
  search=document.getElementById('search'),count=document.getElementById('count');
svg.removeAttribute('width');svg.removeAttribute('height');
svg.querySelectorAll('title').forEach(t=>t.remove());
svg.querySelectorAll('a').forEach(a=>{a.removeAttribute('xlink:title');a.removeAttribute('title')});
const whole=svg.viewBox.baseVal,home=[whole.x,whole.y,whole.width,whole.height];let box=home.slice();
const show=()=>svg.setAttribute('viewBox',box.join(' '));
const scale=()=>Math.max(box[2]/view.clientWidth,box[3]/view.clientHeight);
function at(e){const r=view.getBoundingClientRect(),s=scale();
  return[box[0]+box[2]/2+(e.clientX-r.left-r.width/2)*s,box[1]+box[3]/2+(e.clientY-r.top-r.height/2)*s]}
view.addEventListener('wheel',e=>{e.preventDefault();const f=Math.exp(e.deltaY*.0015),[x,y]=at(e);
  box=[x-(x-box[0])*f,y-(y-box[1])*f,box[2]*f,box[3]*f];show()},{passive:false});
let from=null,moved=false;
view.addEventListener('pointerdown',e=>{from=[e.clientX,e.clientY];moved=false});
window.addEventListener('pointermove',e=>{if(!from)return;const s=scale(),dx=e.clientX-from[0],dy=e.clientY-from[1];
  if(!moved&&Math.hypot(dx,dy)<4)return;moved=true;view.classList.add('drag');
  box[0]-=dx*s;box[1]-=dy*s;from=[e.clientX,e.clientY];show()});
window.addEventListener('pointerup',()=>{from=null;view.classList.remove('drag')});
function fit(){box=home.slice();show()}
document.getElementById('fit').onclick=fit;
const byId=id=>document.getElementById(id),ins={},outs={};
graph.links.forEach((l,i)=>{(outs[l[0]]=outs[l[0]]||[]).push([l[1],i]);(ins[l[1]]=ins[l[1]]||[]).push([l[0],i])});
function clear(){svg.querySelectorAll('.hit,.up,.down,.dim').forEach(n=>n.classList.remove('hit','up','down','dim'))}
function walk(start,next,mark){const seen=new Set([start]),todo=[start];while(todo.length){
  for(const[n,e]of next[todo.pop()]||[]){byId('e'+e)?.classList.add(mark);
    if(!seen.has(n)){seen.add(n);todo.push(n);byId('n'+n)?.classList.add(mark)}}}return seen}
function dimOthers(keep){graph.boxes.forEach((_,i)=>{if(!keep.has(i))byId('n'+i)?.classList.add('dim')});
  graph.links.forEach((l,i)=>{if(!(keep.has(l[0])&&keep.has(l[1])))byId('e'+i)?.classList.add('dim')})}
let pinned=false;
function tell(text){info.style.display=text?'block':'none';info.textContent=text||''}
function details(g){return g.id[0]==='n'?graph.boxes[+g.id.slice(1)].details:graph.clusters[+g.id.slice(1)]}
const part=e=>e.target.closest('.node')||e.target.closest('.cluster');
svg.addEventListener('mouseover',e=>{if(pinned)return;const g=part(e);tell(g&&/^[nk]\d/.test(g.id)?details(g):'')});
view.addEventListener('click',e=>{if(moved)return;clear();const g=part(e);pinned=!!g;if(!g){tell('');return}
  tell(details(g));if(g.id[0]!=='n')return;const i=+g.id.slice(1);g.classList.add('hit');
  dimOthers(new Set([...walk(i,ins,'up'),...walk(i,outs,'down')]))});
let hits=[],current=-1;
search.addEventListener('input',()=>{clear();current=-1;const q=search.value.toLowerCase();hits=[];
  if(!q){count.textContent='';return}
  graph.boxes.forEach((b,i)=>{if((b.text+' '+b.details).toLowerCase().includes(q))hits.push(i)});
  dimOthers(new Set(hits));hits.forEach(i=>byId('n'+i)?.classList.add('hit'));
  count.textContent=hits.length+' found'+(hits.length?', Enter goes there':'')});
search.addEventListener('keydown',e=>{if(e.key!=='Enter'||!hits.length)return;
  current=(current+(e.shiftKey?hits.length-1:1))%hits.length;const n=byId('n'+hits[current]);if(!n)return;
  const b=n.getBBox(),m=svg.getScreenCTM().inverse().multiply(n.getScreenCTM());
  const x=(b.x+b.width/2)*m.a+m.e,y=(b.y+b.height/2)*m.d+m.f,w=Math.min(home[2],900),h=w*view.clientHeight/view.clientWidth;
  box=[x-w/2,y-h/2,w,h];show();tell(graph.boxes[hits[current]].details);pinned=true;
  count.textContent=(current+1)+' of '+hits.length});
window.addEventListener('keydown',e=>{if(e.target===search)return;if(e.key==='f')fit();
  if(e.key==='/'){e.preventDefault();search.focus()}if(e.key==='Escape'){clear();tell('');pinned=false}});
)js";

/// JSON inside a script: no text can end the element.
std::string data(const Picture& picture) {
  nlohmann::json boxes = nlohmann::json::array(), links = nlohmann::json::array(),
                 clusters = nlohmann::json::array();
  for (const Box& box : picture.boxes) {
    std::string details;
    for (const std::string& name : box.reads) details += "reads: " + name + "\n";
    for (const std::string& name : box.writes) details += "writes: " + name + "\n";
    boxes.push_back({{"text", box.title + " " + box.name + " " + box.type},
                     {"details", box.details + details}});
  }
  for (const Link& link : picture.links) links.push_back({link.from, link.to});
  for (const Cluster& cluster : picture.clusters)
    clusters.push_back(cluster.title + "\n" + cluster.details);
  const nlohmann::json all{{"boxes", boxes}, {"links", links}, {"clusters", clusters}};
  const std::string text = all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string out;
  for (const char c : text) out += c == '<' ? "\\u003c" : std::string(1, c);
  return out;
}

}  // namespace

std::string to_html(const Picture& picture, const std::string& svg) {
  const std::size_t begin = svg.find("<svg");  // what comes before is for files that stand alone
  const std::string title = markup(picture.title.empty() ? "graph" : picture.title);
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + title +
         "</title>\n<style>" + style + "</style></head><body>\n<div id=\"bar\"><b>" + title +
         "</b><input id=\"search\" placeholder=\"search: operation, name, line (/)\">"
         "<span id=\"count\"></span><button id=\"fit\">fit (f)</button>"
         "<span class=\"hint\">wheel: scale · drag: move · click: what it comes from and what "
         "depends on it</span></div>\n"
         "<div id=\"view\">" +
         (begin == std::string::npos ? svg : svg.substr(begin)) +
         "</div>\n<pre id=\"info\"></pre>\n<script>const graph=" + data(picture) + ";" + script +
         "</script>\n</body></html>\n";
}

}  // namespace weft::tools
