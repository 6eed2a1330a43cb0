// A matrix on a canvas, until plotly is loaded: a browser needs seconds to compile plotly.

const VIRIDIS = [
  "440154", "48186a", "472d7b", "424086", "3b528b", "33638d", "2c728e", "26828e", "21918c",
  "1fa088", "28ae80", "3fbc73", "5ec962", "84d44b", "addc30", "d8e219", "fde725",
].map((hex) => [0, 2, 4].map((digit) => parseInt(hex.slice(digit, digit + 2), 16)));

/** The colour of a share from 0 to 1 of the scale Viridis. */
function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const part = VIRIDIS[below].map((low, i) => low + (place - below) * (VIRIDIS[below + 1][i] - low));
  return `rgb(${part.map(Math.round).join()})`;
}

/** Draw a heatmap with the geometry that plotly gives it; other figures wait for plotly. */
function sketch(plot, [trace], { width, height, margin, template, ...layout }) {
  if (trace.type !== "heatmap") return;
  const canvas = element("canvas", { width: width * devicePixelRatio, height: height * devicePixelRatio });
  canvas.style.width = `${width}px`;
  plot.replaceChildren(canvas);
  const pen = canvas.getContext("2d");
  pen.scale(devicePixelRatio, devicePixelRatio);
  const { font, paper_bgcolor: paper } = template.layout;
  pen.fillStyle = paper;
  pen.fillRect(0, 0, width, height);
  const across = (width - margin.l - margin.r) / trace.x.length;
  const down = (height - margin.t - margin.b) / trace.y.length;
  const share = (value) => (value - trace.zmin) / (trace.zmax - trace.zmin);
  pen.font = `12px ${font.family}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  trace.z.forEach((row, y) => row.forEach((value, x) => {
    if (value === null) return;
    const left = margin.l + x * across, top = margin.t + y * down;
    pen.fillStyle = viridis(share(value));
    pen.fillRect(left, top, across, down);
    if (!trace.texttemplate) return;
    pen.fillStyle = share(value) > 0.5 ? "#444" : "#fff";
    pen.fillText(value.toFixed(2), left + across / 2, top + down / 2);
  }));
  pen.strokeStyle = paper;
  for (const { line, xref, x0, x1, y0, y1 } of layout.shapes) {
    pen.lineWidth = line.width;
    pen.beginPath();
    if (xref === "paper") {
      pen.moveTo(margin.l, margin.t + (y0 + 0.5) * down);
      pen.lineTo(width - margin.r, margin.t + (y1 + 0.5) * down);
    } else {
      pen.moveTo(margin.l + (x0 + 0.5) * across, margin.t);
      pen.lineTo(margin.l + (x1 + 0.5) * across, height - margin.b);
    }
    pen.stroke();
  }
  pen.fillStyle = font.color;
  pen.font = `11px ${font.family}`;
  pen.textAlign = "right";
  layout.yaxis.tickvals.forEach((y, i) => {
    pen.fillText(decoded(layout.yaxis.ticktext[i]), margin.l - 4, margin.t + (y + 0.5) * down);
  });
  layout.xaxis.tickvals.forEach((x, i) => {
    pen.save();
    pen.translate(margin.l + (x + 0.5) * across, height - margin.b + 4);
    pen.rotate(-Math.PI / 2);
    pen.fillText(decoded(layout.xaxis.ticktext[i]), 0, 0);
    pen.restore();
  });
}
